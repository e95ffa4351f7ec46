import { Duplex } from "node:stream";
import type { ResumableStream } from "../../../protocol/resumable-stream.ts";
import { sshLimits } from "./limits.ts";

/** What ssh2 takes for its socket: one end of a stream that outlives its connections. */
export class SshTransport extends Duplex {
  readonly #stream: ResumableStream;
  readonly #toSend: () => void;
  readonly #waiting = new Set<() => void>();
  #left: { readonly bytes: Uint8Array; readonly done: () => void } | undefined;
  #notTaken = 0;

  /** `toSend` is called whenever the stream has something to send. */
  constructor(stream: ResumableStream, toSend: () => void) {
    super({ allowHalfOpen: false, writableHighWaterMark: sshLimits.transportBytesMax });
    this.#stream = stream;
    this.#toSend = toSend;
    this.on("drain", () => this.#wakeAll());
    this.on("close", () => {
      this.#wakeAll();
      // However it came to its end, the client is told.
      stream.end();
      toSend();
    });
  }

  /** Whoever can wait writes nothing before this: ssh2 itself writes without looking. */
  async hasRoom(): Promise<void> {
    while (this.writableNeedDrain && !this.destroyed)
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
      });
  }

  /** Of the client. */
  receive(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (this.push(bytes)) {
      this.#stream.taken(bytes.length);
      this.#toSend();
    } else {
      this.#notTaken += bytes.length;
    }
  }

  receiveEnd(): void {
    if (!this.readableEnded) this.push(null);
  }

  /** The stream has more room, perhaps. */
  roomChanged(): void {
    const left = this.#left;
    if (left === undefined) return;
    this.#left = undefined;
    this.#send(left.bytes, left.done);
  }

  override _write(bytes: Uint8Array, _encoding: string, done: () => void): void {
    this.#send(bytes, done);
  }

  override _read(): void {
    if (this.#notTaken === 0) return;
    this.#stream.taken(this.#notTaken);
    this.#notTaken = 0;
    this.#toSend();
  }

  override _final(done: () => void): void {
    this.#stream.end();
    this.#toSend();
    done();
  }

  #send(bytes: Uint8Array, done: () => void): void {
    const count = Math.min(bytes.length, this.#stream.roomBytes);
    this.#stream.write(bytes.subarray(0, count));
    if (count > 0) this.#toSend();
    if (count === bytes.length) done();
    else this.#left = { bytes: bytes.subarray(count), done };
  }

  #wakeAll(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
