import { Failure } from "../../cli/failure.ts";
import { waitTimeoutMs } from "./create-input.ts";
import type { Settling } from "./machine-settling.ts";

const org = {
  value: "SLUG",
  env: "FLY_ORG",
  summary: "organisation to print, if not the app's own",
} as const;

/** Of commands that make machines. */
export const makingFlags = {
  "new-volumes": { summary: "make volumes even where free ones of the same name are there" },
  "wait-timeout-secs": {
    value: "N",
    summary: "how long to wait for the machines to start; 0: not at all (default: 300)",
  },
  "stay-secs": {
    value: "N",
    env: "FLY_VAULT_STAY_SECS",
    summary: "how long they must then stay started (default: 5)",
  },
  org,
} as const;

/** Of commands that change machines, one after the other. */
export const changingFlags = {
  "wait-timeout-secs": {
    value: "N",
    summary: "how long to wait for each machine to start; 0: not at all (default: 300)",
  },
  org,
} as const;

export function settlingOf(flags: {
  readonly "wait-timeout-secs": string | undefined;
  readonly "stay-secs": string | undefined;
}): Settling {
  const stay = flags["stay-secs"] ?? "5";
  if (!/^\d{1,3}$/u.test(stay))
    throw new Failure("FV-CLI-001", `--stay-secs takes whole seconds, at most 999, not "${stay}"`);
  return { waitMs: waitTimeoutMs(flags["wait-timeout-secs"]), stayMs: Number(stay) * 1_000 };
}
