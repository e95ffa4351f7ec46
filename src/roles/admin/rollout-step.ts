import type { Outcome } from "./rollout-record.ts";

/** Where a machine is to end up; `out` gives it back with the image that it has. */
export type Goal = "new" | "old" | "out";

/** What is done for a machine right now. */
export type TourStep =
  | ("lease" | "look" | "drain" | "cordon" | "update" | "launch" | "settle")
  | ("start" | "health" | "handshake" | "soak")
  | ("uncordon" | "release" | "over");

/** A tour as others see it. */
export interface TourView {
  /** The machine's. */
  readonly id: string;
  readonly goal: Goal;
  readonly step: TourStep;
  /** Waits for its turn in a rollback; only its lease is looked after. */
  readonly parked: boolean;
}

/** How it ends for a machine that is where it was to be; `runs`: it was started. */
export function successOf(goal: Goal, runs: boolean): Outcome {
  if (goal === "old") return "rolled-back";
  return runs ? "updated" : "stopped";
}
