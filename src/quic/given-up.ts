import { quicLimits } from "./limits.ts";
import type { QuicheConnection } from "./quiche-connection.ts";
import { attempt, quicheError } from "./quiche-error.ts";

export type GivenUpQuiche = Pick<
  QuicheConnection,
  "streamRoom" | "streamSend" | "resetWriting" | "stopReading"
>;

/** A stream that will be used no more, though not both of its halves have ended. */
export interface GivenUpStream {
  readonly id: number;
  readonly code: number;
  /** It was the peer who gave it up, and need not be told. */
  readonly byPeer: boolean;
  /** Our half has ended well already. */
  readonly hasEnded: boolean;
}

interface Leaving {
  readonly stream: GivenUpStream;
  /** Of the word that tells the peer. */
  readonly number: bigint;
  hasEnded: boolean;
  tries: number;
  dueMs: number;
}

/**
 * Streams that were given up, until both halves are over. What is under way of a half that is reset or
 * stopped quiche 0.18 throws away, and never gives its room in the connection's window back: after a few
 * megabytes no stream could send any more. So the peer is told in a word, both ends end their half with
 * a mark, and read the other's to its end, for nobody. Only where that takes too long, because words are lost or
 * the peer does not know them, are they reset and stopped.
 */
export class GivenUp {
  readonly #quiche: GivenUpQuiche;
  readonly #tell: (number: bigint) => void;
  readonly #leaving = new Map<number, Leaving>();
  #dueMs = Number.POSITIVE_INFINITY;

  constructor(quiche: GivenUpQuiche, tell: (number: bigint) => void) {
    this.#quiche = quiche;
    this.#tell = tell;
  }

  /** When `handleTimeout` is due; infinity while there is none. */
  get dueMs(): number {
    return this.#dueMs;
  }

  add(stream: GivenUpStream, nowMs: number, rttMs: number): void {
    const number = givenUpNumber(stream);
    if (number === null || this.#leaving.size >= quicLimits.givenUpMax) {
      this.#cut(stream, stream.hasEnded);
      return;
    }
    // First by the peer and then by us as well, our half may still have to end.
    const hasEnded = this.#leaving.get(stream.id)?.hasEnded ?? stream.hasEnded;
    const leaving = { stream, number, hasEnded, tries: 0, dueMs: nowMs };
    this.#leaving.set(stream.id, leaving);
    this.#try(leaving, nowMs, rttMs);
  }

  /** There is light again: what was said in the dark was not heard, and what is under way has yet to arrive. */
  startOver(nowMs: number): void {
    for (const leaving of this.#leaving.values()) {
      leaving.tries = 0;
      leaving.dueMs = nowMs;
      this.#dueMs = nowMs;
    }
  }

  handleTimeout(nowMs: number, rttMs: () => number): void {
    if (nowMs < this.#dueMs) return;
    this.#dueMs = Number.POSITIVE_INFINITY;
    for (const [id, leaving] of this.#leaving) {
      if (nowMs < leaving.dueMs) this.#dueMs = Math.min(this.#dueMs, leaving.dueMs);
      else if (this.#isForgotten(id)) this.#leaving.delete(id);
      else if (leaving.tries < quicLimits.givenUpTries) this.#try(leaving, nowMs, rttMs());
      else {
        this.#leaving.delete(id);
        this.#cut(leaving.stream, leaving.hasEnded);
      }
    }
  }

  #try(leaving: Leaving, nowMs: number, rttMs: number): void {
    const { stream, number } = leaving;
    leaving.hasEnded ||= this.#end(stream.id);
    if (!stream.byPeer) this.#tell(number);
    leaving.dueMs = nowMs + 2 ** leaving.tries * Math.max(quicLimits.givenUpMs, 2 * rttMs);
    leaving.tries += 1;
    this.#dueMs = Math.min(this.#dueMs, leaving.dueMs);
  }

  /** Whether there was room for the mark. */
  #end(id: number): boolean {
    const sent = attempt(() =>
      this.#quiche.streamRoom(id) > 0 ? this.#quiche.streamSend(id, givenUpMark, true) : 0,
    );
    return sent !== 0;
  }

  /** Both halves are over. Of one that the peer stopped, ours alone may be. */
  #isForgotten(id: number): boolean {
    try {
      this.#quiche.streamRoom(id);
      return false;
    } catch (error) {
      return quicheError(error).name !== "StreamStopped";
    }
  }

  /** What the peer gave up it will reset itself, and what it had ended is still read. */
  #cut({ id, code, byPeer, hasEnded }: GivenUpStream, isMarked: boolean): void {
    if (!hasEnded || !isMarked) attempt(() => this.#quiche.resetWriting(id, code));
    if (!byPeer) attempt(() => this.#quiche.stopReading(id, code));
  }
}

/** Id (48 bits), whether our half has ended (1) and code (15) as the number of a word, or null where they do not fit. */
function givenUpNumber({ id, code, hasEnded }: GivenUpStream): bigint | null {
  if (id >= 2 ** 48 || code >= 2 ** 15) return null;
  return (BigInt(id) << 16n) | (hasEnded ? 0x8000n : 0n) | BigInt(code);
}

/** What the number of a word says; `hasEnded` is about the half of who said it. */
export function givenUpOf(number: bigint): Omit<GivenUpStream, "byPeer"> {
  return {
    id: Number(number >> 16n),
    code: Number(number & 0x7fffn),
    hasEnded: (number & 0x8000n) !== 0n,
  };
}

/** In the place of the end marker (see `QuicStream`). */
const givenUpMark = Uint8Array.of(1);
