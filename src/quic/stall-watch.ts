import { quicLimits } from "./limits.ts";

/** When to tell the peer that we are blocked: something waits to be sent, and nothing has gone for a while. */
export class StallWatch {
  #sentBytes = 0;
  #pauseMs = 0;
  #dueMs = Number.POSITIVE_INFINITY;

  /** When `ring` is to be called; infinity while all goes well. */
  get dueMs(): number {
    return this.#dueMs;
  }

  /** After each attempt to send. `sentBytes` counts all that quiche ever took. */
  note(waiting: boolean, sentBytes: number, nowMs: number, rttMs: () => number): void {
    const moved = sentBytes !== this.#sentBytes;
    this.#sentBytes = sentBytes;
    if (!waiting) this.#dueMs = Number.POSITIVE_INFINITY;
    else if (moved || this.#dueMs === Number.POSITIVE_INFINITY) {
      this.#pauseMs = Math.max(quicLimits.blockedMs, 3 * rttMs());
      this.#dueMs = nowMs + this.#pauseMs;
    }
  }

  /** It is time: the next time is twice as far away. */
  ring(nowMs: number): void {
    this.#pauseMs = Math.min(2 * this.#pauseMs, quicLimits.blockedMsMax);
    this.#dueMs = nowMs + this.#pauseMs;
  }
}
