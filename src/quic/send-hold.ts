import { quicLimits } from "./limits.ts";

/**
 * The peer was seen at a new address, so the old one is most likely dead. What goes there meanwhile would
 * be lost and come again only after a timeout: nothing is sent for about the time the peer's answer takes.
 */
export class SendHold {
  #untilMs = 0;
  #againMs = 0;

  get untilMs(): number {
    return this.#untilMs;
  }

  isOn(nowMs: number): boolean {
    return this.#untilMs > nowMs;
  }

  begin(nowMs: number, rttMs: number): void {
    if (nowMs < this.#againMs) return;
    this.#untilMs = nowMs + Math.min(quicLimits.holdMsMax, answerMs + 2 * rttMs);
    this.#againMs = nowMs + quicLimits.holdEveryMs;
  }

  /** The peer has moved. */
  end(): void {
    this.#untilMs = 0;
    this.#againMs = 0;
  }
}

/** What the two ends take, on top of the round trip. */
const answerMs = 20;
