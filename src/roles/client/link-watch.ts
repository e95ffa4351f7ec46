import { clientLimits } from "./limits.ts";

export interface LinkSample {
  readonly monotonicMs: number;
  readonly wallMs: number;
  readonly sentPackets: number;
  readonly receivedPackets: number;
}

export type LinkVerdict = "fine" | "rebind" | "dead";

/**
 * Tells a dead path from a quiet one. Whatever QUIC sends it wants acknowledged, so packets that go
 * out while none come in mean trouble: first the socket is replaced (another network, a NAT that
 * forgot us), then the connection. A wall clock that jumped means the computer slept.
 */
export class LinkWatch {
  #last: LinkSample | undefined;
  /** When the first packet went out that nothing has come back for. */
  #unansweredMs: number | undefined;
  #rebound = false;

  observe(sample: LinkSample): LinkVerdict {
    const last = this.#last;
    this.#last = sample;
    if (last === undefined) return "fine";
    if (sample.receivedPackets !== last.receivedPackets) {
      this.#unansweredMs = undefined;
      this.#rebound = false;
    } else if (sample.sentPackets !== last.sentPackets) {
      this.#unansweredMs ??= sample.monotonicMs;
    }
    if (slept(last, sample)) {
      this.#rebound = true;
      return "rebind";
    }
    const waitedMs = this.#unansweredMs === undefined ? 0 : sample.monotonicMs - this.#unansweredMs;
    if (waitedMs >= clientLimits.quietDeadMs) return "dead";
    if (waitedMs < clientLimits.quietRebindMs || this.#rebound) return "fine";
    this.#rebound = true;
    return "rebind";
  }
}

/** The wall clock went on while we did not: suspended, or stopped. */
function slept(last: LinkSample, sample: LinkSample): boolean {
  const wallMs = sample.wallMs - last.wallMs;
  const monotonicMs = sample.monotonicMs - last.monotonicMs;
  return Math.max(wallMs, monotonicMs) > clientLimits.clockJumpMs;
}
