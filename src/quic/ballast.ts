import { quicLimits } from "./limits.ts";
import type { QuicheConnection } from "./quiche-connection.ts";
import { quicheError } from "./quiche-error.ts";

/** The client's first stream, which both ends fill at the start and nobody reads to the end. */
export const ballastStream = 0;

/**
 * Bytes of the peer that lie unread until they are needed. quiche 0.18 sends a grant of the connection
 * (MAX_DATA) once, and again after its loss only if something was read since. A peer that used up its
 * last grant has nothing for us to read, and both would wait for ever. So when it says that it is
 * blocked, one byte of these is read, and quiche grants anew.
 */
export class Ballast {
  readonly #quiche: QuicheConnection;
  #sent = false;
  #lostPackets = 0;

  constructor(quiche: QuicheConnection) {
    this.#quiche = quiche;
  }

  /** Ours for the peer. The client's opens the stream; the machine's can only follow. Once. */
  send(): void {
    if (this.#sent) return;
    this.#sent = true;
    attempt(() => this.#quiche.streamSend(ballastStream, ballast, false));
  }

  /**
   * The peer is blocked. True when a byte was read. Without a loss since the last time no grant can
   * have been lost: then it is our readers it waits for, and the byte is saved.
   */
  release(): boolean {
    const { lost } = this.#quiche.stats();
    if (lost === this.#lostPackets) return false;
    this.#lostPackets = lost;
    return attempt(() => this.#quiche.streamReceive(ballastStream, byte)) !== null;
  }
}

/** A peer that never sent any, or reset the stream, goes without. */
function attempt<Result>(action: () => Result): Result | null {
  try {
    return action();
  } catch (error) {
    quicheError(error);
    return null;
  }
}

const ballast = new Uint8Array(quicLimits.ballastBytes);
const byte = new Uint8Array(1);
