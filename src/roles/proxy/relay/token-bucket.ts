/** So many a second, and a burst of so many after a pause. Full at first. */
export class TokenBucket {
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  #filledMs = Number.NEGATIVE_INFINITY;

  constructor(perSecond: number, burst: number) {
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** False, and nothing taken, where there are fewer. */
  take(count: number, nowMs: number): boolean {
    if (this.level(nowMs) < count) return false;
    this.#tokens -= count;
    return true;
  }

  /** How many there are now. */
  level(nowMs: number): number {
    const passedMs = nowMs - this.#filledMs;
    if (passedMs > 0) {
      this.#tokens = Math.min(this.#burst, this.#tokens + passedMs * this.#perMs);
      this.#filledMs = nowMs;
    }
    return this.#tokens;
  }
}
