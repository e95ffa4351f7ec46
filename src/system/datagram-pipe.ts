import { StreamError } from "../protocol/byte-stream.ts";
import { WireError } from "../protocol/errors.ts";
import { type FrameStream, frameTypes } from "../protocol/frame.ts";
import { socketLimits } from "./socket-limits.ts";

/**
 * The datagrams between two addresses, one a frame. What comes faster than the stream takes it is
 * dropped, as a network would: nothing here waits but for the stream.
 */
export class DatagramPipe {
  readonly #frames: FrameStream;
  readonly #idleMs: number;
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #isWriting = false;
  #isOver = false;
  #idle: ReturnType<typeof setTimeout> | undefined;

  /** Silent both ways for `idleMs`, it ends. */
  constructor(frames: FrameStream, idleMs: number) {
    this.#frames = frames;
    this.#idleMs = idleMs;
    this.#touch();
  }

  /** Copies what it takes; false where it was dropped. */
  offer(datagram: Uint8Array): boolean {
    const isFull =
      this.#queue.length >= socketLimits.queuedDatagramsMax ||
      this.#queuedBytes + datagram.length > socketLimits.queuedBytesMax;
    if (isFull || this.#isOver) return false;
    this.#queue.push(datagram.slice());
    this.#queuedBytes += datagram.length;
    this.#touch();
    void this.#write();
    return true;
  }

  /** Hands over what comes in until either side is done. Never rejects for the other side's faults. */
  async run(receive: (datagram: Uint8Array) => void): Promise<void> {
    try {
      for (;;) {
        const frame = await this.#frames.read();
        if (frame === null) break;
        if (frame.type !== frameTypes.datagram) throw new WireError("Only datagrams may follow");
        this.#touch();
        receive(frame.payload);
      }
    } catch (error) {
      if (!(error instanceof StreamError || error instanceof WireError)) throw error;
    } finally {
      this.close();
    }
  }

  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#idle);
    this.#queue.length = 0;
    this.#frames.stream.abort(0);
  }

  async #write(): Promise<void> {
    if (this.#isWriting) return;
    this.#isWriting = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        this.#queuedBytes -= next.length;
        await this.#frames.write(frameTypes.datagram, next);
      }
    } catch {
      this.close();
    } finally {
      this.#isWriting = false;
    }
  }

  #touch(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.close(), this.#idleMs);
  }
}
