import type { Answer } from "./rollout-call.ts";
import { rolloutLimits } from "./rollout-limits.ts";
import type { TourStep } from "./rollout-step.ts";

/** The step that is due, or `lease` where it needs one that we do not have for certain; the one we have is lost then. */
export function leasedStep(
  step: TourStep,
  lease: RolloutLease | undefined,
  nowMs: number,
): TourStep {
  if (lease === undefined) return step === "look" ? step : "lease";
  if (!needsAnother(step, lease, nowMs)) return step;
  // Renewed meanwhile, it could be taken once more after the new one was given back.
  lease.lose();
  return "lease";
}

function needsAnother(step: TourStep, lease: RolloutLease, nowMs: number): boolean {
  if (step === "lease") return true;
  if (step === "release") return lease.mayBeAnother;
  return ["cordon", "update", "launch", "uncordon"].includes(step) && !lease.holds(nowMs);
}

/** The lease on one machine, from being taken until it is given back; renewed at a third of its life. */
export class RolloutLease {
  readonly nonce: string;
  readonly #lifeMs: number;
  #untilMs: number;
  #renewAtMs: number;
  #lost = false;
  #isInDoubt = false;
  #asking = false;

  /** `nowMs` is when it was asked for, at the latest. */
  constructor(nonce: string, lifeMs: number, nowMs: number) {
    this.nonce = nonce;
    this.#lifeMs = lifeMs;
    this.#untilMs = nowMs + lifeMs;
    this.#renewAtMs = nowMs + lifeMs / 3;
  }

  /** Whether a change may be sent under it. */
  holds(nowMs: number): boolean {
    return !this.#lost && this.#untilMs - rolloutLimits.leaseMarginMs > nowMs;
  }

  /** A renewal is under way: given back now, it would be taken anew by that one. */
  get isRenewing(): boolean {
    return this.#asking;
  }

  get isLost(): boolean {
    return this.#lost;
  }

  /**
   * What is on the machine may be another lease of ours, with a nonce that we do not know: one that was lost may
   * have been followed by it, and so may one that ran out while this computer slept, by a renewal without an answer.
   */
  get mayBeAnother(): boolean {
    return this.#lost || this.#isInDoubt;
  }

  get deadlineMs(): number | undefined {
    return this.#lost || this.#asking ? undefined : this.#renewAtMs;
  }

  /** True when it is to be renewed now, by the caller. */
  due(nowMs: number): boolean {
    if (this.#lost || this.#asking || nowMs < this.#renewAtMs) return false;
    this.#asking = true;
    // Until it is known better: the answer may take its time, the lease does not wait.
    this.#renewAtMs = nowMs;
    return true;
  }

  handleRenewed(answer: Answer, nowMs: number): void {
    // Of one that had this nonce before.
    if (!this.#asking) return;
    this.#asking = false;
    const askedMs = this.#renewAtMs;
    if (answer.kind === "leased" && answer.nonce !== this.nonce) {
      // It had run out, and this is another one: who knows what happened in between.
      this.#lost = true;
      return;
    }
    this.#isInDoubt = answer.kind === "fault";
    if (answer.kind !== "fault") {
      this.#untilMs = askedMs + this.#lifeMs;
      this.#renewAtMs = askedMs + this.#lifeMs / 3;
      return;
    }
    const { kind } = answer.fault;
    if (kind === "conflict" || kind === "not-found") this.#lost = true;
    else this.#renewAtMs = nowMs + this.#lifeMs / 12;
  }

  /** A change under it was refused: whoever holds the machine now, it is not us. Or another one is asked for. */
  lose(): void {
    this.#lost = true;
  }
}
