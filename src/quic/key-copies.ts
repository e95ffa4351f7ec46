import { quicLimits } from "./limits.ts";

/**
 * On a line that loses packets, a key or its echo is sent three times: what a person waits for is one small
 * datagram, and its loss shows only a round trip later, by the next one. A copy is the same packet to the
 * last byte, so the peer's QUIC drops whichever comes later, and does not acknowledge it again.
 */
export class KeyCopies {
  #lostPackets = 0;
  #lostMs = Number.NEGATIVE_INFINITY;
  #sentBytes = 0;
  /** The next flush repeats what was lost: a second loss would cost as much again. */
  #repeats = false;
  /** How many datagrams of a flush with something new or repeated; undefined where it has neither. */
  #datagrams: number | undefined;
  /** Oldest first. */
  #kept: Kept[] = [];

  /** When `take` is to be called; infinity while there is no copy to send. */
  get dueMs(): number {
    return Math.min(...this.#kept.map(({ dueMs }) => dueMs));
  }

  /** True when more are lost than before. */
  noteLost(lostPackets: number, nowMs: number): boolean {
    if (lostPackets <= this.#lostPackets) return false;
    this.#lostPackets = lostPackets;
    this.#lostMs = nowMs;
    this.#repeats = true;
    return true;
  }

  /** Before a flush. `sentBytes` counts all that quiche ever took from the streams. */
  noteFlush(sentBytes: number): void {
    this.#datagrams = sentBytes !== this.#sentBytes || this.#repeats ? 0 : undefined;
    this.#sentBytes = sentBytes;
    this.#repeats = false;
  }

  /** The first `bytes` of the slot go out. More than one datagram of a flush, or a large one, are no key. */
  noteSent(slot: Uint8Array, bytes: number, nowMs: number): void {
    if (this.#datagrams === undefined) return;
    this.#datagrams += 1;
    const isSmall = this.#datagrams === 1 && bytes <= quicLimits.copiedBytesMax;
    if (!isSmall) this.#kept = [];
    else if (nowMs - this.#lostMs < quicLimits.lossyMs) {
      const dueMs = nowMs + quicLimits.copyEveryMs;
      this.#kept.push({ datagram: slot.slice(0, bytes), left: quicLimits.copies, dueMs });
      if (this.#kept.length > quicLimits.copiedMax) this.#kept.shift();
    }
  }

  /** The next copy whose time has come. */
  take(nowMs: number): Uint8Array | null {
    const kept = this.#kept.find(({ dueMs }) => dueMs <= nowMs);
    if (kept === undefined) return null;
    kept.left -= 1;
    kept.dueMs = nowMs + quicLimits.copyEveryMs;
    this.#kept = this.#kept.filter(({ left }) => left > 0);
    return kept.datagram;
  }
}

interface Kept {
  readonly datagram: Uint8Array;
  left: number;
  dueMs: number;
}
