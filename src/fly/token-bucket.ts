/** Lets `burst` calls through at once and `perSecond` after that. Time is handed in. */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number;

  constructor(options: { perSecond: number; burst: number; nowMs: number }) {
    this.#perSecond = options.perSecond;
    this.#burst = options.burst;
    this.#tokens = options.burst;
    this.#atMs = options.nowMs;
  }

  /** True when this call may go now; it is then counted. */
  take(nowMs: number): boolean {
    this.#fill(nowMs);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Takes a place in the queue and says how long to wait for it. */
  reserve(nowMs: number): number {
    this.#fill(nowMs);
    this.#tokens -= 1;
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens / this.#perSecond) * 1_000);
  }

  /** A full bucket remembers nothing and may be forgotten. */
  isFull(nowMs: number): boolean {
    this.#fill(nowMs);
    // Sums of fractions of seconds fall a hair short.
    return this.#tokens >= this.#burst - 1e-9;
  }

  #fill(nowMs: number): void {
    const elapsedMs = Math.max(0, nowMs - this.#atMs);
    this.#atMs = nowMs;
    this.#tokens = Math.min(this.#burst, this.#tokens + (elapsedMs / 1_000) * this.#perSecond);
  }
}
