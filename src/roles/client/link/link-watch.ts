import { clientLimits } from "../limits.ts";

export interface LinkSample {
  readonly monotonicMs: number;
  readonly wallMs: number;
  readonly sentPackets: number;
  readonly receivedPackets: number;
}

export type LinkVerdict = "fine" | "probe" | "rebind" | "dead";

/**
 * Tells a dead path from a quiet one. Whatever QUIC sends it wants acknowledged, so packets that go
 * out while none come in mean trouble: first the socket is replaced (another network, a NAT that
 * forgot us), then the connection. A wall clock that jumped means the computer slept.
 *
 * Silence of both sides is no proof either: the machine may send to an address that a NAT has given
 * away meanwhile, and only a packet of ours can correct that. So a silence is broken a few times.
 */
export class LinkWatch {
  #last: LinkSample | undefined;
  /** When the first packet went out that nothing has come back for. */
  #unansweredMs: number | undefined;
  #rebound = false;
  #deadAfterMs: number = clientLimits.quietDeadMs;
  #heardMs = 0;
  #probeAfterMs: number = clientLimits.probeFirstMs;

  observe(sample: LinkSample): LinkVerdict {
    const last = this.#last;
    this.#last = sample;
    if (last === undefined || sample.receivedPackets !== last.receivedPackets) {
      this.#heard(sample, last);
    } else if (sample.sentPackets !== last.sentPackets) {
      this.#unansweredMs ??= sample.monotonicMs;
    }
    if (last !== undefined && slept(last, sample)) {
      this.#rebound = true;
      return "rebind";
    }
    const waitedMs = this.#unansweredMs === undefined ? 0 : sample.monotonicMs - this.#unansweredMs;
    if (waitedMs >= this.#deadAfterMs) return "dead";
    if (waitedMs < clientLimits.quietRebindMs || this.#rebound) return this.#probe(sample);
    this.#rebound = true;
    return "rebind";
  }

  /** The socket was replaced just now, for a reason of its own; an answer over the new one is due. */
  moved(sample: LinkSample): void {
    this.#last = sample;
    this.#rebound = true;
    this.#unansweredMs = sample.monotonicMs;
    this.#deadAfterMs = clientLimits.moveAnswerMs;
  }

  /** What only answers a probe does not begin a new series of them, else a silence would never be one. */
  #heard(sample: LinkSample, last: LinkSample | undefined): void {
    this.#unansweredMs = undefined;
    this.#rebound = false;
    this.#deadAfterMs = clientLimits.quietDeadMs;
    const packets = sample.receivedPackets - (last?.receivedPackets ?? 0);
    if (packets > answerPacketsMax) this.#probeAfterMs = clientLimits.probeFirstMs;
    this.#heardMs = sample.monotonicMs;
  }

  #probe(sample: LinkSample): LinkVerdict {
    const silentMs = sample.monotonicMs - this.#heardMs;
    if (this.#probeAfterMs > clientLimits.probeLastMs || silentMs < this.#probeAfterMs)
      return "fine";
    this.#probeAfterMs *= 2;
    return "probe";
  }
}

/** An acknowledgement or two between two looks. */
const answerPacketsMax = 2;

/** The wall clock went on while we did not: suspended, or stopped. */
function slept(last: LinkSample, sample: LinkSample): boolean {
  const wallMs = sample.wallMs - last.wallMs;
  const monotonicMs = sample.monotonicMs - last.monotonicMs;
  return Math.max(wallMs, monotonicMs) > clientLimits.clockJumpMs;
}
