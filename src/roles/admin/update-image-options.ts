import { parseDuration } from "../../cli/duration.ts";
import { Failure } from "../../cli/failure.ts";
import { rolloutLimits } from "./rollout-limits.ts";
import type { PlanRecord } from "./rollout-record.ts";

/** The numbers of `tenant update-image`. */
export const rolloutFlags = {
  concurrency: { value: "N", summary: "machines at a time, never two of one tenant (default: 4)" },
  canary: {
    value: "N",
    summary: "machines to begin with, one after the other, of different tenants (default: 1)",
  },
  "max-unavailable": {
    value: "N|N%",
    summary: "at most so many machines, or so much of them, down at a time (default: 100%)",
  },
  "soak-secs": { value: "N", summary: "how long a machine must stay well (default: 20)" },
  "start-timeout-secs": { value: "N", summary: "until it runs (default: 180)" },
  "health-timeout-secs": {
    value: "N",
    summary: "until its checks are good and init answers (default: 120)",
  },
  "lease-ttl-secs": { value: "N", summary: "life of a lease, which is renewed (default: 120)" },
  drain: {
    value: "DURATION",
    summary:
      "before a machine's update, wait until its sessions are over, so long at most (default: 0s)",
  },
  handshake: {
    negatable: true,
    summary: "ask init over QUIC whether it is there (default: where it can be reached)",
  },
} as const;

export interface RolloutNumbers {
  readonly concurrency: string | undefined;
  readonly canary: string | undefined;
  readonly "max-unavailable": string | undefined;
  readonly "soak-secs": string | undefined;
  readonly "start-timeout-secs": string | undefined;
  readonly "health-timeout-secs": string | undefined;
  readonly "lease-ttl-secs": string | undefined;
  readonly drain: string | undefined;
}

/** `handshake` is decided when the machines are known, and so is the share that may be down. */
export interface ParsedNumbers {
  readonly options: Omit<PlanRecord["options"], "handshake" | "unavailableMax">;
  readonly unavailableMax: (machines: number) => number;
}

export function parseRolloutNumbers(flags: RolloutNumbers): ParsedNumbers {
  const seconds = { min: 0, max: rolloutLimits.secondsMax };
  const leaseSeconds = { min: rolloutLimits.leaseSecondsMin, max: rolloutLimits.leaseSecondsMax };
  const number = (
    name: Exclude<keyof RolloutNumbers, "drain">,
    fallback: number,
    range: Range,
  ): number => parseCount(name, flags[name] ?? String(fallback), range);
  return {
    options: {
      concurrency: number("concurrency", 4, { min: 1, max: rolloutLimits.concurrencyMax }),
      canary: number("canary", 1, { min: 0, max: rolloutLimits.machinesMax }),
      soakMs: 1_000 * number("soak-secs", 20, seconds),
      startMs: 1_000 * number("start-timeout-secs", 180, { ...seconds, min: 1 }),
      healthMs: 1_000 * number("health-timeout-secs", 120, { ...seconds, min: 1 }),
      drainMs: parseDrain(flags.drain ?? "0s"),
      leaseSeconds: number("lease-ttl-secs", 120, leaseSeconds),
    },
    unavailableMax: parseShare(flags["max-unavailable"] ?? "100%"),
  };
}

interface Range {
  readonly min: number;
  readonly max: number;
}

function parseCount(name: string, text: string, { min, max }: Range): number {
  const value = /^\d{1,6}$/u.test(text) ? Number(text) : -1;
  if (value >= min && value <= max) return value;
  throw new Failure("FV-CLI-001", `--${name} "${text}" is no whole number from ${min} to ${max}`);
}

function parseDrain(text: string): number {
  const drainMs = parseDuration(text);
  if (drainMs !== undefined && drainMs <= 1_000 * rolloutLimits.secondsMax) return drainMs;
  throw new Failure("FV-CLI-001", `--drain "${text}" is no duration up to a day`, {
    fix: "for example --drain 10m",
  });
}

/** At least one, or nothing could ever be updated. */
function parseShare(text: string): (machines: number) => number {
  const [, digits = "", percent] = /^(\d{1,6})(%?)$/u.exec(text) ?? [];
  const value = digits === "" ? 0 : Number(digits);
  const max = percent === "%" ? 100 : rolloutLimits.machinesMax;
  if (value < 1 || value > max)
    throw new Failure("FV-CLI-001", `--max-unavailable "${text}" is no number of machines`, {
      fix: "for example --max-unavailable 3, or --max-unavailable 10%",
    });
  if (percent !== "%") return () => value;
  return (machines) => Math.max(1, Math.floor((machines * value) / 100));
}
