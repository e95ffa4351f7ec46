import type { Call } from "./rollout-call.ts";
import type { PlanRecord, StepRecord } from "./rollout-record.ts";
import type { TourView } from "./rollout-step.ts";

/** What a tour tells the rollout that it is part of. */
export interface TourHost {
  readonly plan: PlanRecord;
  record(record: StepRecord): void;
  call(machine: string, call: Call): void;
  told(tour: TourView): void;
  /** It goes on although sessions may be open there. */
  cut(
    tour: TourView,
    cut: { readonly sessions: number | undefined; readonly reason: string },
  ): void;
  /** Whether another machine is on its way, in a rollback that takes one after the other. */
  othersAtWork(tour: TourView): boolean;
  /** It did not work: whatever has the new image goes back. */
  failed(tour: TourView, reason: string): void;
  /** Nothing more can be done for it now; something of ours may still be on it. */
  stranded(tour: TourView, reason: string): void;
  /** The token is no good any more. */
  refused(reason: string): void;
}
