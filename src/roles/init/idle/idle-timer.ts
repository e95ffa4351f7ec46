/** What is to be done now: nothing, tell people that it ends in so long, or end it. */
export type IdleStep =
  | { readonly kind: "wait" }
  | { readonly kind: "warn"; readonly stopInMs: number }
  | { readonly kind: "stop" };

/**
 * When a machine that nobody uses may stop. Times are handed in, by a clock that nobody sets. Whoever
 * is there has been warned for as long as was said before it stops, also where a look came late.
 */
export class IdleTimer {
  readonly stopAfterMs: number;
  readonly #warnMs: number;
  #activeMs: number;
  #warnedMs: number | undefined;

  constructor(stopAfterMs: number, warnMs: number, nowMs: number) {
    this.stopAfterMs = stopAfterMs;
    this.#warnMs = Math.min(warnMs, stopAfterMs / 2);
    this.#activeMs = nowMs;
  }

  /** Somebody did something then. True when they had been warned. */
  active(atMs: number): boolean {
    if (atMs <= this.#activeMs) return false;
    this.#activeMs = atMs;
    const wasWarned = this.#warnedMs !== undefined && this.#warnedMs < atMs;
    if (wasWarned) this.#warnedMs = undefined;
    return wasWarned;
  }

  idleMs(nowMs: number): number {
    return Math.max(0, nowMs - this.#activeMs);
  }

  step(nowMs: number): IdleStep {
    const leftMs = this.stopAfterMs - this.idleMs(nowMs);
    if (this.#warnedMs === undefined) {
      if (leftMs > this.#warnMs) return { kind: "wait" };
      this.#warnedMs = nowMs;
      return { kind: "warn", stopInMs: Math.max(leftMs, this.#warnMs) };
    }
    const warnedForMs = nowMs - this.#warnedMs;
    return leftMs <= 0 && warnedForMs >= this.#warnMs ? { kind: "stop" } : { kind: "wait" };
  }
}
