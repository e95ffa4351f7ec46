import type { Answer, Call } from "./rollout-call.ts";
import { rolloutLimits } from "./rollout-limits.ts";
import type { Outcome, StepRecord } from "./rollout-record.ts";
import { nextBack, nextForward } from "./rollout-schedule.ts";
import type { MachineProgress, RolloutState } from "./rollout-state.ts";
import type { Goal, TourStep, TourView } from "./rollout-step.ts";
import { RolloutTour } from "./rollout-tour.ts";
import type { TourHost } from "./rollout-tour-host.ts";

export type RolloutEvent =
  | {
      readonly kind: "answer";
      readonly machine: string;
      readonly call: Call;
      readonly answer: Answer;
    }
  /** `deadlineMs` has come. */
  | { readonly kind: "time" }
  /** The user wants no more to be begun. */
  | { readonly kind: "stop" };

/** In this order: a record must be on the disk before the calls after it are sent. */
export type RolloutOutput =
  | { readonly kind: "record"; readonly record: StepRecord }
  | { readonly kind: "call"; readonly machine: string; readonly call: Call }
  | { readonly kind: "notice"; readonly notice: RolloutNotice };

/** For people and programs that look on. */
export type RolloutNotice =
  | {
      readonly kind: "machine";
      readonly machine: string;
      readonly goal: Goal;
      readonly step: TourStep;
      readonly outcome: Outcome | undefined;
      readonly reason: string | undefined;
    }
  /** Its update goes on; `sessions` that were open, where that is known. */
  | {
      readonly kind: "cut";
      readonly machine: string;
      readonly sessions: number | undefined;
      readonly reason: string;
    }
  | { readonly kind: "failed"; readonly machine: string; readonly reason: string }
  | { readonly kind: "stranded"; readonly machine: string; readonly reason: string }
  | { readonly kind: "refused"; readonly reason: string };

/**
 * A whole rollout as a state machine: events go in, outputs come out, with the time as an argument.
 * Begins wherever the journal ends: machines on which something of ours may be come first.
 */
export class Rollout {
  readonly state: RolloutState;
  readonly #tours = new Map<string, RolloutTour>();
  readonly #stranded = new Map<string, string>();
  readonly #host: TourHost;
  #outputs: RolloutOutput[] = [];
  #nowMs = 0;
  #stopping = false;
  #sessionsCut = 0;
  #refused: string | undefined;

  /** `options` in place of the plan's own: what a resumed one does otherwise. */
  constructor(state: RolloutState, options = state.plan.options) {
    this.state = state;
    this.#host = {
      plan: { ...state.plan, options },
      record: (record) => this.#record(record),
      call: (machine, call) => this.#outputs.push({ kind: "call", machine, call }),
      told: (tour) => this.#tell(tour),
      othersAtWork: (tour) =>
        [...this.#tours.values()].some(
          (other) => other !== tour && !other.parked && !other.isHeldUp,
        ),
      cut: ({ id: machine }, { sessions, reason }) => {
        this.#sessionsCut += sessions ?? 0;
        this.#notice({ kind: "cut", machine, sessions, reason });
      },
      failed: (tour, reason) => this.#turn(tour, reason),
      stranded: ({ id: machine }, reason) => {
        this.#stranded.set(machine, reason);
        // Forward nothing more is begun; back, the others are not to wait for this one.
        if (state.turned === undefined) this.#stopping = true;
        this.#notice({ kind: "stranded", machine, reason });
      },
      refused: (reason) => {
        if (this.#refused === undefined) this.#notice({ kind: "refused", reason });
        this.#refused = reason;
      },
    };
  }

  start(nowMs: number): RolloutOutput[] {
    this.#nowMs = nowMs;
    for (const machine of this.state.open) this.#openTour(machine, this.#goalOf(machine));
    return this.#proceed();
  }

  handle(event: RolloutEvent, nowMs: number): RolloutOutput[] {
    this.#nowMs = nowMs;
    if (event.kind === "stop") this.#stopping = true;
    else if (event.kind === "answer")
      this.#tours.get(event.machine)?.handle(event.call, event.answer, nowMs);
    return this.#proceed();
  }

  /** When a `time` event is due; undefined while only answers are waited for. */
  get deadlineMs(): number | undefined {
    const deadlines = [...this.#tours.values()].flatMap(({ deadlineMs }) => deadlineMs ?? []);
    return deadlines.length === 0 ? undefined : Math.min(...deadlines);
  }

  /** Nothing is under way and nothing will be begun. */
  get isOver(): boolean {
    return this.#refused !== undefined || this.#tours.size === 0;
  }

  get isStopping(): boolean {
    return this.#stopping;
  }

  /** Why the token was refused, if it was. */
  get refusal(): string | undefined {
    return this.#refused;
  }

  /** Machines that could not be given back, and why. */
  get stranded(): ReadonlyMap<string, string> {
    return this.#stranded;
  }

  /** Open sessions that were not waited for any longer. */
  get sessionsCut(): number {
    return this.#sessionsCut;
  }

  /** The machines at work. */
  get tours(): ReadonlyMap<string, TourView> {
    return this.#tours;
  }

  #proceed(): RolloutOutput[] {
    if (this.#refused === undefined) {
      for (const tour of this.#tours.values()) tour.advance(this.#nowMs);
      this.#sweep();
      this.#begin();
      if (this.#tours.size === 0 && !this.state.finished && this.state.isSettled)
        this.#record({ type: "finish" });
    }
    const outputs = this.#outputs;
    this.#outputs = [];
    return outputs;
  }

  #begin(): void {
    for (;;) {
      const tour = this.state.turned === undefined ? this.#beginForward() : this.#beginBack();
      if (tour === undefined) return;
      tour.advance(this.#nowMs);
      this.#sweep();
    }
  }

  #beginForward(): RolloutTour | undefined {
    if (this.#stopping || this.state.finished) return undefined;
    const next = nextForward(this.state, new Set(this.#tours.keys()));
    return next && this.#openTour(next, "new");
  }

  /**
   * One after the other, the newest first; but before all others those that we hold cordoned, and
   * they alone when the user wants no more to be begun.
   */
  #beginBack(): RolloutTour | undefined {
    const tours = [...this.#tours.values()];
    // Nobody waits for one that itself waits for somebody else's lease.
    if (tours.some((tour) => !tour.parked && !tour.isHeldUp)) return undefined;
    const [parked] = tours
      .filter((tour) => tour.parked)
      .toSorted((a, b) => b.machine.changed - a.machine.changed);
    parked?.unpark(this.#nowMs);
    if (parked !== undefined || this.#stopping) return parked;
    const next = nextBack(this.state, new Set([...this.#tours.keys(), ...this.#stranded.keys()]));
    return next && this.#openTour(next, "old");
  }

  #goalOf(machine: MachineProgress): Goal {
    if (this.state.turned === undefined) return "new";
    return machine.changed > 0 ? "old" : "out";
  }

  #openTour(machine: MachineProgress, goal: Goal): RolloutTour {
    const parked = goal === "old" && machine.open !== undefined;
    const tour = new RolloutTour(this.#host, machine, { goal, parked });
    this.#tours.set(tour.id, tour);
    return tour;
  }

  #sweep(): void {
    for (const [id, { step }] of this.#tours) if (step === "over") this.#tours.delete(id);
  }

  #turn(tour: TourView, reason: string): void {
    this.#notice({ kind: "failed", machine: tour.id, reason });
    if (this.state.turned !== undefined) return;
    const why = reason.slice(0, rolloutLimits.wordsMax);
    this.#record({ type: "turn", machine: tour.id, reason: why });
    for (const other of this.#tours.values()) if (other !== tour) other.turn(this.#nowMs);
  }

  #record(record: StepRecord): void {
    this.state.apply(record);
    this.#outputs.push({ kind: "record", record });
  }

  #tell({ id: machine, goal, step }: TourView): void {
    const { ended } = this.state.machines.get(machine) ?? {};
    const { outcome, reason } = ended ?? {};
    this.#notice({ kind: "machine", machine, goal, step, outcome, reason });
  }

  #notice(notice: RolloutNotice): void {
    this.#outputs.push({ kind: "notice", notice });
  }
}
