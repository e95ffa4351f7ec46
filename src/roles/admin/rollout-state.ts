import type { Outcome, PlanRecord, RolloutTarget, StepRecord } from "./rollout-record.ts";

/** What the journal knows of one machine. */
export interface MachineProgress {
  readonly target: RolloutTarget;
  /** The image before us: as configured, and with its digest. */
  was: { readonly image: string; readonly pinned: string } | undefined;
  /** It may have been given the new image; counts up from 1 in that order. 0: not so. */
  changed: number;
  /** The way back failed, and it is to run once it succeeds. */
  isDown: boolean;
  /** We may have a lease on it, or have cordoned it. */
  open: OpenTour | undefined;
  ended: { readonly outcome: Outcome; readonly reason: string | undefined } | undefined;
}

export interface OpenTour {
  nonce: string | undefined;
  /** Undefined until it was looked at under the lease. */
  runs: boolean | undefined;
  /** Ours to take back. */
  cordon: boolean;
}

/** The meaning of a journal: its records one after the other. Live and after a crash it is the same. */
export class RolloutState {
  readonly plan: PlanRecord;
  readonly machines: ReadonlyMap<string, MachineProgress>;
  /** Why it goes back. */
  turned: string | undefined;
  finished = false;
  #changes = 0;

  constructor(plan: PlanRecord, records: readonly StepRecord[] = []) {
    this.plan = plan;
    this.machines = new Map(
      plan.machines.map((target) => [
        target.id,
        { target, was: undefined, changed: 0, isDown: false, open: undefined, ended: undefined },
      ]),
    );
    for (const record of records) this.apply(record);
  }

  apply(record: StepRecord): void {
    if (record.type === "finish") this.finished = true;
    else if (record.type === "resume") this.#resume();
    else if (record.type === "turn") this.turned ??= record.reason;
    else {
      const machine = this.machines.get(record.machine);
      // A machine that the plan does not have is none of ours.
      if (machine === undefined) return;
      if (record.type === "end") end(machine, record);
      else this.#walk(machine, record);
    }
  }

  /** Machines on which something of ours may be. */
  get open(): MachineProgress[] {
    return [...this.machines.values()].filter((machine) => machine.open !== undefined);
  }

  /** In a rollback, what still has to go back. */
  needsRollback({ changed, ended, open }: MachineProgress): boolean {
    if (changed === 0) return false;
    return open !== undefined || ended?.outcome === "updated" || ended?.outcome === "stopped";
  }

  /** Nothing that another attempt could better. */
  get isSettled(): boolean {
    return [...this.machines.values()].every((machine) => {
      if (machine.open !== undefined || machine.ended?.outcome === "failed") return false;
      return this.turned === undefined ? machine.ended !== undefined : !this.needsRollback(machine);
    });
  }

  /** What was given up is tried again. */
  #resume(): void {
    for (const machine of this.machines.values()) {
      if (machine.ended?.outcome !== "failed") continue;
      machine.ended = undefined;
      machine.open = newTour();
    }
  }

  #walk(machine: MachineProgress, record: TourRecord): void {
    const tour = (machine.open ??= newTour());
    machine.ended = undefined;
    switch (record.type) {
      case "leased":
        tour.nonce = record.nonce;
        return;
      case "begin":
        machine.was ??= { image: record.image, pinned: record.pinned };
        tour.runs = record.runs;
        tour.cordon ||= record.cordon;
        return;
      case "update":
        if (record.to === "new" && machine.changed === 0) machine.changed = ++this.#changes;
        return;
      case "lease":
      case "launch":
      case "uncordon":
      case "release":
    }
  }
}

function end(machine: MachineProgress, record: Extract<StepRecord, { type: "end" }>): void {
  machine.isDown = record.outcome === "failed" && machine.open?.runs === true;
  machine.open = undefined;
  machine.ended = { outcome: record.outcome, reason: record.reason };
  if (record.outcome === "rolled-back") machine.changed = 0;
}

type TourRecord = Exclude<StepRecord, { type: "resume" | "finish" | "turn" | "end" }>;

function newTour(): OpenTour {
  return { nonce: undefined, runs: undefined, cordon: false };
}
