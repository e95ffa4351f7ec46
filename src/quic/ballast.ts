import { quicLimits } from "./limits.ts";
import type { QuicheConnection } from "./quiche-connection.ts";
import { attempt } from "./quiche-error.ts";

/** The client's first stream, which both ends fill at the start and nobody reads to the end. */
export const ballastStream = 0;

/** What it needs of the connection. */
export type BallastStream = Pick<
  QuicheConnection,
  "stats" | "streamRoom" | "streamSend" | "streamReceive"
>;

/**
 * Bytes of the peer that lie unread until they are needed. quiche 0.18 sends a grant of the connection
 * (MAX_DATA) once, and again after its loss only if something was read since. A peer that used up its
 * last grant has nothing for us to read, and both would wait for ever. So when it says that it is
 * blocked, one byte of these is read, and quiche grants anew. For each time that it says so it sends
 * another byte later on, so that they never run out.
 */
export class Ballast {
  readonly #quiche: BallastStream;
  #owed: number = quicLimits.ballastBytes;
  #begun = false;
  #readBytes = 0;
  #lostPackets = 0;
  #blockedSent = 0n;
  #blockedHeard = 0n;

  constructor(quiche: BallastStream) {
    this.#quiche = quiche;
  }

  /** Ours for the peer. The client's opens the stream; the machine's can only follow. */
  begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    // An empty write makes quiche know the stream.
    attempt(() => this.#quiche.streamSend(ballastStream, ballast.subarray(0, 0), false));
    this.refill();
  }

  /** Sends what is owed, as far as there is room. */
  refill(): void {
    if (!this.#begun || this.#owed === 0) return;
    attempt(() => {
      const room = this.#quiche.streamRoom(ballastStream);
      const bytes = ballast.subarray(0, Math.min(this.#owed, room));
      if (bytes.length === 0) return;
      this.#owed -= this.#quiche.streamSend(ballastStream, bytes, false) ?? 0;
    });
  }

  /** The number of the next `blocked`, for which the peer may read a byte. */
  nextBlocked(): bigint {
    this.#owed += 1;
    return ++this.#blockedSent;
  }

  /**
   * The peer is blocked. True when a byte was read. Without a loss since the last time no grant can have
   * been lost: then it is our readers it waits for, and the byte is saved, but for what is more than
   * enough. A number not above all before is an old message, or one that came twice.
   */
  release(number: bigint): boolean {
    if (number <= this.#blockedHeard) return false;
    this.#blockedHeard = number;
    const { lost } = this.#quiche.stats();
    const isSpare = Number(number) - this.#readBytes > quicLimits.ballastBytes;
    if (lost === this.#lostPackets && !isSpare) return false;
    this.#lostPackets = lost;
    if (attempt(() => this.#quiche.streamReceive(ballastStream, byte)) === null) return false;
    this.#readBytes += 1;
    return true;
  }
}

const ballast = new Uint8Array(quicLimits.ballastBytes);
const byte = new Uint8Array(1);
