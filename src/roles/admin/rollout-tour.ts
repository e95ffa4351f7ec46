import {
  type Answer,
  type Call,
  digestOf,
  type Fault,
  isGone,
  isResting,
  type MachineView,
} from "./rollout-call.ts";
import { GateWatch } from "./rollout-gate.ts";
import { RolloutLease } from "./rollout-lease.ts";
import { rolloutLimits } from "./rollout-limits.ts";
import type { Outcome, PlanRecord, StepRecord } from "./rollout-record.ts";
import type { MachineProgress } from "./rollout-state.ts";

/** What a tour tells the rollout that it is part of. */
export interface TourHost {
  readonly plan: PlanRecord;
  record(record: StepRecord): void;
  call(machine: string, call: Call): void;
  told(tour: RolloutTour): void;
  /** It did not work: whatever has the new image goes back. */
  failed(tour: RolloutTour, reason: string): void;
  /** Nothing more can be done for it now; something of ours may still be on it. */
  stranded(tour: RolloutTour, reason: string): void;
  /** The token is no good any more. */
  refused(reason: string): void;
}

export type Goal = "new" | "old" | "out";

export type TourStep =
  | ("lease" | "look" | "cordon" | "update" | "launch")
  | ("start" | "health" | "handshake" | "soak")
  | ("uncordon" | "release" | "over");

/**
 * One machine on its way to an image: leased, looked at, cordoned, updated, watched through the gates,
 * and given back. It may begin anywhere: every step looks at what is there, so a tour that was broken
 * off is simply walked again. `goal` `out` gives the machine back as its image is.
 */
export class RolloutTour {
  readonly machine: MachineProgress;
  goal: Goal;
  step: TourStep = "lease";
  /** Waits for its turn; only its lease is looked after. */
  parked: boolean;
  readonly #host: TourHost;
  #lease: RolloutLease | undefined;
  #leaseAskedMs = 0;
  #calling = false;
  #wakeMs = 0;
  #attempts = 0;
  #surprises = 0;
  /** When somebody else's lease was first met. */
  #heldSinceMs: number | undefined;
  #missing = 0;
  #view: MachineView | undefined;
  #gate: GateWatch | undefined;
  #launch = false;
  #ending: { readonly outcome: Outcome; readonly reason?: string } | undefined;
  #turning = false;
  #uncordoned = false;

  constructor(host: TourHost, machine: MachineProgress, start: { goal: Goal; parked: boolean }) {
    this.#host = host;
    this.machine = machine;
    this.goal = start.goal;
    this.parked = start.parked;
    if (start.goal === "out") this.#ending = { outcome: "untouched" };
  }

  get id(): string {
    return this.machine.target.id;
  }

  get deadlineMs(): number | undefined {
    const waits = this.#calling || this.parked || this.step === "over" || this.#releasesLater;
    const wake = waits ? undefined : this.#wakeMs;
    const renewal = this.step === "release" ? undefined : this.#lease?.deadlineMs;
    return wake === undefined ? renewal : Math.min(wake, renewal ?? wake);
  }

  /** Does what is due. */
  advance(nowMs: number): void {
    if (this.step === "over") return;
    if (this.step !== "release" && this.#lease?.due(nowMs) === true) this.#renew(this.#lease);
    if (this.#calling || this.parked || this.#releasesLater || nowMs < this.#wakeMs) return;
    this.#act(nowMs);
  }

  handle(call: Call, answer: Answer, nowMs: number): void {
    if (answer.kind === "fault" && answer.fault.kind === "unauthorised") {
      this.#host.refused(answer.fault.words);
      return;
    }
    if (call.kind === "renew") {
      // A lease that was replaced meanwhile has nothing to do with this answer.
      if (this.#lease?.nonce === call.nonce) this.#lease.handleRenewed(answer, nowMs);
      return;
    }
    this.#calling = false;
    if (answer.kind === "fault") this.#handleFault(answer.fault, nowMs);
    else this.#handleGood(answer, nowMs);
    if (this.#turning) this.turn(nowMs);
  }

  /** Another machine failed: this one is not taken further. */
  turn(nowMs: number): void {
    this.#turning = this.#calling;
    if (this.#calling || this.goal !== "new" || this.step === "over") return;
    if (this.machine.changed > 0) {
      this.goal = "old";
      this.parked = true;
      this.#begin();
      this.#go(this.#lease === undefined ? "lease" : "look", nowMs);
    } else this.#leave({ outcome: "untouched" }, nowMs);
  }

  unpark(nowMs: number): void {
    this.parked = false;
    this.#wakeMs = nowMs;
  }

  #act(nowMs: number): void {
    const nonce = this.#lease?.nonce;
    const { id: machine } = this;
    if (nonce === undefined && this.step !== "look") this.step = "lease";
    const change = ["cordon", "update", "launch", "uncordon"].includes(this.step);
    if (change && this.#lease?.holds(nowMs) !== true) this.step = "lease";
    // One that was lost may have been followed by another of ours.
    if (this.step === "release" && this.#lease?.isLost === true) this.step = "lease";
    this.#calling = true;
    this.#host.told(this);
    switch (this.step) {
      case "lease":
        this.#leaseAskedMs = nowMs;
        this.#host.record({ type: "lease", machine });
        this.#host.call(machine, { kind: "lease", nonce: nonce ?? this.machine.open?.nonce });
        return;
      case "look":
      case "start":
      case "health":
      case "soak":
        this.#host.call(machine, { kind: "read" });
        return;
      case "handshake":
        this.#host.call(machine, { kind: "handshake" });
        return;
      case "over":
        return;
      default:
        this.#change(this.step, nonce ?? "");
    }
  }

  #change(step: "cordon" | "update" | "launch" | "uncordon" | "release", nonce: string): void {
    const { id: machine } = this;
    switch (step) {
      case "cordon":
        this.#host.call(machine, { kind: "cordon", nonce });
        return;
      case "update": {
        const to = this.goal === "new" ? "new" : "old";
        const image = to === "new" ? this.#host.plan.image : (this.machine.was?.pinned ?? "");
        const version = this.#view?.version ?? "";
        this.#host.record({ type: "update", machine, to });
        this.#host.call(machine, { kind: "update", nonce, image, version, launch: this.#launch });
        return;
      }
      case "launch":
        this.#host.record({ type: "start", machine });
        this.#host.call(machine, { kind: "start", nonce });
        return;
      case "uncordon":
        this.#host.record({ type: "uncordon", machine });
        this.#host.call(machine, { kind: "uncordon", nonce });
        return;
      case "release":
        this.#host.record({ type: "release", machine });
        this.#host.call(machine, { kind: "release", nonce });
    }
  }

  get #releasesLater(): boolean {
    return this.step === "release" && this.#lease?.isRenewing === true;
  }

  #renew(lease: RolloutLease): void {
    this.#host.call(this.id, { kind: "renew", nonce: lease.nonce });
  }

  #handleGood(answer: Exclude<Answer, { kind: "fault" }>, nowMs: number): void {
    // Looking and leasing come before every new try, so they do not make up for the ones that failed.
    if (this.step !== "lease" && this.step !== "look") this.#attempts = 0;
    switch (this.step) {
      case "lease":
        if (answer.kind === "leased") this.#leased(answer.nonce, nowMs);
        return;
      case "look":
        if (answer.kind === "seen") this.#decide(answer.view, nowMs);
        return;
      case "cordon":
        this.#go("update", nowMs);
        return;
      case "update":
        if (answer.kind === "seen") this.#updated(answer.view, nowMs);
        return;
      case "launch":
        this.#enterGates(this.#view?.version ?? "", nowMs);
        return;
      case "start":
      case "health":
      case "handshake":
      case "soak":
        this.#watch(answer, nowMs);
        return;
      case "uncordon":
        this.#uncordoned = true;
        this.#go("release", nowMs);
        return;
      case "release":
        this.#finish();
        return;
      case "over":
    }
  }

  #leased(nonce: string, nowMs: number): void {
    this.#heldSinceMs = undefined;
    this.#lease = new RolloutLease(
      nonce,
      this.#host.plan.options.leaseSeconds * 1_000,
      this.#leaseAskedMs,
    );
    this.#host.record({ type: "leased", machine: this.id, nonce });
    if (this.goal === "out") this.#leaveStep(nowMs);
    else this.#go("look", nowMs);
  }

  /** With the lease in hand: what is there, and what is missing to the goal. */
  #decide(view: MachineView, nowMs: number): void {
    if (isGone(view)) {
      this.#vanished();
      return;
    }
    this.#missing = 0;
    this.#view = view;
    if (this.#lease === undefined || this.goal === "out") {
      this.#leaveOrLease(nowMs);
      return;
    }
    const { open, was, changed } = this.machine;
    if (was === undefined && this.#isOn(view) === "new") {
      this.#leave({ outcome: "skipped" }, nowMs);
      return;
    }
    const fresh = open?.runs === undefined;
    // What stopped because of us is to run again; what somebody started meanwhile is not to stop.
    const fell = changed > 0 && (fresh ? view.crashed : open.runs === true);
    const runs = !isResting(view) || fell;
    if (fresh || open.runs !== runs) {
      const { image, pinned } = view;
      const cordon = runs && !view.cordoned;
      this.#host.record({ type: "begin", machine: this.id, image, pinned, runs, cordon });
    }
    this.#launch = runs;
    const on = this.#isOn(view);
    if (on === "other") {
      const reason = `has another image now: ${view.image}`;
      this.#ending = { outcome: "foreign", reason };
      this.#fail(reason, nowMs);
    } else if (on !== this.goal) {
      this.#go(this.machine.open?.cordon === true ? "cordon" : "update", nowMs);
    } else if (!runs) this.#leave(this.#success(), nowMs);
    else if (isResting(view) && view.state !== "stopping") this.#go("launch", nowMs);
    else this.#enterGates(view.version, nowMs);
  }

  #isOn(view: MachineView): "new" | "old" | "other" {
    const { image } = this.#host.plan;
    const digest = digestOf(view.pinned);
    if (view.image === image || (digest !== undefined && digest === digestOf(image))) return "new";
    const { was } = this.machine;
    if (was === undefined || view.image === was.image || view.image === was.pinned) return "old";
    return digest !== undefined && digest === digestOf(was.pinned) ? "old" : "other";
  }

  #updated(view: MachineView, nowMs: number): void {
    this.#view = view;
    if (this.#launch) this.#enterGates(view.version, nowMs);
    else this.#leave(this.#success(), nowMs);
  }

  #enterGates(version: string, nowMs: number): void {
    this.#gate = new GateWatch(this.#host.plan.options, version, nowMs);
    this.#go(this.#gate.step, nowMs);
  }

  #watch(answer: Exclude<Answer, { kind: "fault" }>, nowMs: number): void {
    if (this.#gate === undefined) return;
    const verdict =
      answer.kind === "seen" ? this.#gate.see(answer.view, nowMs) : this.#gate.shookHands(nowMs);
    this.#obey(verdict, nowMs);
  }

  #obey(verdict: ReturnType<GateWatch["see"]>, nowMs: number): void {
    if (verdict.kind === "failed") this.#fail(verdict.reason, nowMs);
    else if (verdict.kind === "passed") this.#leave(this.#success(), nowMs);
    else this.#go(this.#gate?.step ?? "look", nowMs, verdict.pauseMs);
  }

  #success(): { outcome: Outcome } {
    if (this.goal === "old") return { outcome: "rolled-back" };
    return { outcome: this.#launch ? "updated" : "stopped" };
  }

  #handleFault(fault: Fault, nowMs: number): void {
    if (fault.kind === "not-found") {
      this.#notFound(nowMs);
      return;
    }
    if (this.step === "release" && fault.kind === "conflict") {
      // It ran out and somebody else has one: none of ours is left.
      this.#finish();
      return;
    }
    if (this.#gate !== undefined && ["start", "health", "handshake", "soak"].includes(this.step)) {
      this.#obey(this.#gate.missed(fault.words, nowMs), nowMs);
      return;
    }
    // A machine that was just changed may refuse to start for some seconds.
    if (fault.kind === "conflict" && this.step !== "launch") this.#contested(fault, nowMs);
    else if (fault.kind === "refused" || ++this.#attempts >= rolloutLimits.attemptsMax)
      this.#fail(fault.words, nowMs);
    // Nobody knows whether it was done: look.
    else {
      const look = this.step === "update" || this.step === "launch";
      this.#go(look ? "look" : this.step, nowMs, this.#backoffMs());
    }
  }

  /** A lease of somebody else, or a version that is no more. */
  #contested(fault: Fault, nowMs: number): void {
    if (this.step === "lease") {
      this.#heldSinceMs ??= nowMs;
      if (this.goal === "out" && !this.#isCordoned) {
        // Theirs, not ours, and nothing else of ours is on the machine.
        this.#finish();
        return;
      }
      const clearing = this.goal !== "new" || this.#isCordoned;
      const patienceMs = clearing ? rolloutLimits.heldWhileClearingMs : rolloutLimits.heldMs;
      if (nowMs - this.#heldSinceMs < patienceMs) this.#go("lease", nowMs, rolloutLimits.pollMs);
      else this.#fail(fault.words, nowMs);
      return;
    }
    this.#lease?.lose();
    if (++this.#surprises >= rolloutLimits.surprisesMax) this.#fail(fault.words, nowMs);
    else this.#go("lease", nowMs, rolloutLimits.retryMs);
  }

  /** Once is no proof: the API's instances do not all know the same. */
  #notFound(nowMs: number): void {
    if (this.step === "look" && ++this.#missing >= missingMax) this.#vanished();
    else {
      this.#lease?.lose();
      this.#go("look", nowMs, rolloutLimits.retryMs);
    }
  }

  /** Before anything of ours was on it that is nobody's fault; after, the new image may be the cause. */
  #vanished(): void {
    const guilty = this.goal === "new" && this.machine.changed > 0;
    // The turn first: after the end nobody would know of it.
    if (guilty) this.#host.failed(this, "it is gone after its update");
    this.#end({ outcome: "gone", reason: "the machine is gone" });
  }

  #fail(reason: string, nowMs: number): void {
    const { goal } = this;
    const foreign = this.#ending?.outcome === "foreign";
    if (goal === "out") {
      this.step = "over";
      this.#host.stranded(this, reason);
      return;
    }
    if (goal === "old") {
      this.#leave(this.#ending ?? { outcome: "failed", reason }, nowMs);
      return;
    }
    if (foreign) this.#leave(this.#ending ?? { outcome: "foreign" }, nowMs);
    else this.turn(nowMs);
    if (!foreign && this.goal === "out") this.#ending = { outcome: "untouched", reason };
    this.#host.failed(this, reason);
  }

  /** The image is as it is to be, or is to stay: takes back the cordon and the lease. */
  #leave(ending: { readonly outcome: Outcome; readonly reason?: string }, nowMs: number): void {
    this.#ending = ending;
    this.goal = "out";
    this.parked = false;
    this.#begin();
    this.#leaveStep(nowMs);
  }

  /** Without a lease at hand there may still be one, whose answer did not come: it is asked for. */
  #leaveStep(nowMs: number): void {
    if (this.#lease === undefined) this.#go("lease", nowMs);
    else this.#go(this.#isCordoned ? "uncordon" : "release", nowMs);
  }

  /** By us, as far as we know. */
  get #isCordoned(): boolean {
    return this.machine.open?.cordon === true && !this.#uncordoned;
  }

  /** Another goal: what went wrong on the way to the last one does not count. */
  #begin(): void {
    this.#attempts = 0;
    this.#surprises = 0;
    this.#heldSinceMs = undefined;
  }

  /** It is there, in spite of what was said of it before. */
  #leaveOrLease(nowMs: number): void {
    if (this.#lease !== undefined) this.#leaveStep(nowMs);
    else if (++this.#surprises >= rolloutLimits.surprisesMax)
      this.#fail("cannot be leased, as if it were not there", nowMs);
    else this.#go("lease", nowMs, rolloutLimits.retryMs);
  }

  #finish(): void {
    this.#end(this.#ending ?? { outcome: "untouched" });
  }

  #end({ outcome, reason }: { readonly outcome: Outcome; readonly reason?: string }): void {
    this.step = "over";
    const why = reason === undefined ? {} : { reason: reason.slice(0, rolloutLimits.wordsMax) };
    this.#host.record({ type: "end", machine: this.id, outcome, ...why });
    this.#host.told(this);
  }

  #go(step: TourStep, nowMs: number, pauseMs = 0): void {
    this.step = step;
    this.#wakeMs = nowMs + pauseMs;
  }

  #backoffMs(): number {
    return Math.min(rolloutLimits.retryMs * 2 ** (this.#attempts - 1), rolloutLimits.retryMsMax);
  }
}

const missingMax = 3;
