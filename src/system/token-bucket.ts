/** Lets `burst` calls through at once and `perSecond` after that. Full at first. Time is handed in. */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number;

  /** `nowMs`: its first moment, if that is known. */
  constructor(options: {
    readonly perSecond: number;
    readonly burst: number;
    readonly nowMs?: number;
  }) {
    this.#perSecond = options.perSecond;
    this.#burst = options.burst;
    this.#tokens = options.burst;
    this.#atMs = options.nowMs ?? Number.NEGATIVE_INFINITY;
  }

  /** True when so many may go now; they are then counted. Else nothing is taken. */
  take(nowMs: number, count = 1): boolean {
    if (this.level(nowMs) < count) return false;
    this.#tokens -= count;
    return true;
  }

  /** Takes a place in the queue and says how long to wait for it. */
  reserve(nowMs: number): number {
    this.#tokens = this.level(nowMs) - 1;
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens / this.#perSecond) * 1_000);
  }

  /** A full bucket remembers nothing and may be forgotten. */
  isFull(nowMs: number): boolean {
    // Sums of fractions of seconds fall a hair short.
    return this.level(nowMs) >= this.#burst - 1e-9;
  }

  /** How many may go now. Below zero: places that were reserved. */
  level(nowMs: number): number {
    const elapsedMs = nowMs - this.#atMs;
    if (elapsedMs > 0) {
      this.#tokens = Math.min(this.#burst, this.#tokens + (elapsedMs / 1_000) * this.#perSecond);
      this.#atMs = nowMs;
    }
    return this.#tokens;
  }
}
