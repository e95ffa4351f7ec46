import {
  type Answer,
  type Call,
  type Fault,
  isGone,
  isPassing,
  isRefusal,
  isResting,
  type MachineView,
} from "./rollout-call.ts";
import { GateWatch } from "./rollout-gate.ts";
import { type Finding, lookAt } from "./rollout-look.ts";
import { Drain, type DrainVerdict } from "./rollout-drain.ts";
import { leasedStep, RolloutLease } from "./rollout-lease.ts";
import { rolloutLimits } from "./rollout-limits.ts";
import { holderLimitMs, Patience } from "./rollout-patience.ts";
import type { Outcome } from "./rollout-record.ts";
import { requestOf } from "./rollout-request.ts";
import type { MachineProgress } from "./rollout-state.ts";
import { type Goal, successOf, type TourStep, type TourView } from "./rollout-step.ts";
import type { TourHost } from "./rollout-tour-host.ts";

/**
 * One machine on its way to an image: leased, looked at, cordoned, updated, watched through the gates,
 * and given back. It may begin anywhere: every step looks at what is there, so a tour that was broken
 * off is simply walked again. `goal` `out` gives the machine back as its image is.
 */
export class RolloutTour implements TourView {
  readonly machine: MachineProgress;
  goal: Goal;
  step: TourStep = "lease";
  parked: boolean;
  readonly #host: TourHost;
  #lease: RolloutLease | undefined;
  #leaseAskedMs = 0;
  #calling = false;
  #wakeMs = 0;
  #patience = new Patience();
  #view: MachineView | undefined;
  #gate: GateWatch | undefined;
  readonly #drain: Drain;
  #launch = false;
  #ending: { readonly outcome: Outcome; readonly reason?: string } | undefined;
  #turning = false;
  /** An update to the new image was sent, and was not refused. */
  #mayBeUpdated: boolean;
  #uncordoned = false;

  constructor(host: TourHost, machine: MachineProgress, start: { goal: Goal; parked: boolean }) {
    this.#host = host;
    this.machine = machine;
    this.goal = start.goal;
    this.parked = start.parked;
    this.#mayBeUpdated = machine.changed > 0;
    this.#drain = new Drain(host.plan.options.drainMs);
    if (start.goal === "out") this.#ending = { outcome: "untouched" };
  }

  get id(): string {
    return this.machine.target.id;
  }

  /** Somebody else has the machine's lease. */
  get isHeldUp(): boolean {
    return this.#patience.isHeldUp;
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
    if (call.kind === "update") this.#mayBeUpdated ||= !isRefusal(answer);
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
      // What went wrong on the way to the last goal does not count.
      this.#patience = new Patience();
      this.#go(this.#lease === undefined ? "lease" : "look", nowMs);
    } else this.#leave({ outcome: "untouched" }, nowMs);
  }

  unpark(nowMs: number): void {
    this.parked = false;
    this.#wakeMs = nowMs;
  }

  #act(nowMs: number): void {
    this.step = leasedStep(this.step, this.#lease, nowMs);
    if (this.step === "over") return;
    if (this.step === "lease") this.#leaseAskedMs = nowMs;
    this.#calling = true;
    this.#host.told(this);
    const { machine, goal } = this;
    const to = goal === "new" ? "new" : "old";
    const { record, call } = requestOf(this.step, {
      machine: this.id,
      nonce: this.#lease?.nonce ?? machine.open?.nonce,
      to,
      image: to === "new" ? this.#host.plan.image : (machine.was?.pinned ?? ""),
      version: this.#view?.version ?? "",
      launch: this.#launch,
      handshakeMs: this.#gate?.handshakeMs(nowMs) ?? rolloutLimits.handshakeMs,
    });
    if (record !== undefined) this.#host.record(record);
    this.#host.call(this.id, call);
  }

  get #releasesLater(): boolean {
    return this.step === "release" && this.#lease?.isRenewing === true;
  }

  #renew(lease: RolloutLease): void {
    this.#host.call(this.id, { kind: "renew", nonce: lease.nonce });
  }

  #handleGood(answer: Exclude<Answer, { kind: "fault" }>, nowMs: number): void {
    // Looking and leasing come before every new try, so they do not make up for the ones that failed.
    if (this.step !== "lease" && this.step !== "look") this.#patience.noteSuccess();
    if (answer.kind === "leased") this.#leased(answer.nonce, nowMs);
    else if (answer.kind === "seen") this.#handleSeen(answer.view, nowMs);
    else if (answer.kind === "counted") this.#obeyDrain(this.#drain.see(answer.open, nowMs), nowMs);
    else this.#handleDone(nowMs);
  }

  #handleSeen(view: MachineView, nowMs: number): void {
    if (this.step === "look") this.#decide(view, nowMs);
    else if (this.step === "update") this.#updated(view, nowMs);
    else if (this.step === "settle") this.#settle(view, nowMs);
    else if (this.#gate !== undefined) this.#obey(this.#gate.see(view, nowMs), nowMs);
  }

  #handleDone(nowMs: number): void {
    if (this.step === "cordon") this.#go("update", nowMs);
    else if (this.step === "launch") this.#enterGates(this.#view?.version ?? "", nowMs);
    else if (this.step === "release") this.#finish();
    else if (this.step === "uncordon") {
      this.#uncordoned = true;
      this.#go("release", nowMs);
    } else if (this.#gate !== undefined) this.#obey(this.#gate.shookHands(nowMs), nowMs);
  }

  #leased(nonce: string, nowMs: number): void {
    // Others did not wait for one that was held up; now it waits for them.
    const gotBack = this.goal === "old" && this.#patience.isHeldUp && !this.#isCordoned;
    this.parked ||= gotBack && this.#host.othersAtWork(this);
    this.#patience.noteLeased();
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
    this.#patience.noteSeen();
    this.#view = view;
    if (this.#lease === undefined || this.goal === "out") {
      this.#leaveOrLease(nowMs);
      return;
    }
    const found = lookAt(view, this.machine, this.#host.plan.image);
    if (found.kind === "skip") this.#leave({ outcome: "skipped" }, nowMs);
    else if (found.kind === "passing") this.#lookAgain(nowMs);
    else if (found.kind === "foreign") {
      const reason = `has another image now: ${view.image}`;
      this.#ending = { outcome: "foreign", reason };
      this.#fail(reason, nowMs);
    } else if (this.goal === "new" && this.#drain.isDue(found, nowMs))
      // Before anything of ours is on it, and then looked at anew.
      this.#go("drain", nowMs);
    else this.#approach(found, view, nowMs);
  }

  #approach(found: Extract<Finding, { kind: "known" }>, view: MachineView, nowMs: number): void {
    const { runs } = found;
    if (found.isNews) {
      const { image, pinned } = view;
      const cordon = runs && !view.cordoned;
      this.#host.record({ type: "begin", machine: this.id, image, pinned, runs, cordon });
    }
    this.#launch = runs;
    if (found.on !== this.goal)
      this.#go(this.machine.open?.cordon === true ? "cordon" : "update", nowMs);
    else if (this.goal === "old" && this.#patience.bearsDoubt())
      this.#go("look", nowMs, rolloutLimits.doubtMs);
    else if (!runs) this.#settle(view, nowMs);
    else if (isResting(view) && !isPassing(view)) this.#go("launch", nowMs);
    else this.#enterGates(view.version, nowMs);
  }

  #lookAgain(nowMs: number): void {
    if (this.#mayWait(nowMs)) this.#go("look", nowMs, rolloutLimits.retryMs);
    else this.#fail(`has been ${this.#view?.state} for too long`, nowMs);
  }

  /** As long as a start may take: after that it is taken as it is. */
  #mayWait(nowMs: number): boolean {
    return this.#patience.bearsPassing(this.#host.plan.options.startMs, nowMs);
  }

  #updated(view: MachineView, nowMs: number): void {
    this.#view = view;
    if (this.#launch) this.#enterGates(view.version, nowMs);
    else this.#go("settle", nowMs);
  }

  /** Not started by us: until it rests, nobody could tell it from one that runs. */
  #settle(view: MachineView, nowMs: number): void {
    // Another version is an answer from before.
    const isUnsettled = isPassing(view) || view.version !== this.#view?.version;
    if (isUnsettled && this.#mayWait(nowMs)) this.#go("settle", nowMs, rolloutLimits.retryMs);
    else this.#leave({ outcome: successOf(this.goal, this.#launch) }, nowMs);
  }

  #enterGates(version: string, nowMs: number): void {
    this.#gate = new GateWatch(this.#host.plan.options, version, nowMs);
    this.#go(this.#gate.step, nowMs);
  }

  #obey(verdict: ReturnType<GateWatch["see"]>, nowMs: number): void {
    if (verdict.kind === "failed") this.#fail(verdict.reason, nowMs);
    else if (verdict.kind === "passed")
      this.#leave({ outcome: successOf(this.goal, this.#launch) }, nowMs);
    else this.#go(this.#gate?.step ?? "look", nowMs, verdict.pauseMs);
  }

  #obeyDrain(verdict: DrainVerdict, nowMs: number): void {
    if (verdict.kind === "cut") this.#host.cut(this, verdict);
    this.#go(verdict.kind === "wait" ? "drain" : "look", nowMs, verdict.pauseMs);
  }

  #handleFault(fault: Fault, nowMs: number): void {
    if (this.step === "drain") {
      this.#obeyDrain(this.#drain.missed(fault, nowMs), nowMs);
      return;
    }
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
    else this.#again(fault, nowMs);
  }

  #again(fault: Fault, nowMs: number): void {
    const pauseMs = fault.kind === "refused" ? undefined : this.#patience.afterFault();
    // Nobody knows whether it was done: look.
    const look = this.step === "update" || this.step === "launch";
    if (pauseMs === undefined) this.#fail(fault.words, nowMs);
    else this.#go(look ? "look" : this.step, nowMs, pauseMs);
  }

  /** A lease of somebody else, or a version that is no more. */
  #contested(fault: Fault, nowMs: number): void {
    if (this.step === "lease") this.#heldByOthers(fault, nowMs);
    else {
      this.#lease?.lose();
      if (this.#patience.bearsSurprise()) this.#go("lease", nowMs, rolloutLimits.retryMs);
      else this.#fail(fault.words, nowMs);
    }
  }

  #heldByOthers(fault: Fault, nowMs: number): void {
    const clearing = this.goal !== "new" || this.#isCordoned;
    const limitMs = holderLimitMs(this.#host.plan.options, clearing);
    // Theirs, not ours: then nothing of ours is on the machine.
    if (this.goal === "out" && !this.#isCordoned) this.#finish();
    else if (this.#patience.bearsHolder(limitMs, nowMs))
      this.#go("lease", nowMs, rolloutLimits.pollMs);
    else this.#fail(fault.words, nowMs);
  }

  #notFound(nowMs: number): void {
    if (this.step === "look" && this.#patience.believesMissing()) this.#vanished();
    else {
      this.#lease?.lose();
      this.#go("look", nowMs, rolloutLimits.retryMs);
    }
  }

  /** Before anything of ours was on it that is nobody's fault; after, the new image may be the cause. */
  #vanished(): void {
    const guilty = this.goal === "new" && this.#mayBeUpdated;
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
    // What went wrong on the way to the last goal does not count.
    this.#patience = new Patience();
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

  /** It is there, in spite of what was said of it before. */
  #leaveOrLease(nowMs: number): void {
    if (this.#lease !== undefined) this.#leaveStep(nowMs);
    else if (this.#patience.bearsSurprise()) this.#go("lease", nowMs, rolloutLimits.retryMs);
    else this.#fail("cannot be leased, as if it were not there", nowMs);
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
}
