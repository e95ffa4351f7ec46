import { Failure } from "../../cli/failure.ts";
import { waitTimeoutMs } from "./create-input.ts";
import type { Settling } from "./machine-settling.ts";

export const settlingFlags = {
  "wait-timeout-secs": {
    value: "N",
    summary: "how long to wait for the machines to start; 0: not at all (default: 300)",
  },
  "stay-secs": {
    value: "N",
    env: "FLY_VAULT_STAY_SECS",
    summary: "how long they must then stay started (default: 5)",
  },
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
