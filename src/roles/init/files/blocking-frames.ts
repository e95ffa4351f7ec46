import { decodeFileMessage } from "../../../protocol/file-frame.ts";
import { type Frame, FrameDecoder } from "../../../protocol/frame.ts";
import type { CopyPeer } from "../../../system/copy/copy-peer.ts";
import { MessageBatch } from "../../../system/copy/message-batch.ts";
import type { ClientStream } from "../client-stream.ts";

/** Frames of a client's stream, by blocking calls. */
export class BlockingFrames {
  readonly #stream: ClientStream;
  readonly #decoder = new FrameDecoder({ lends: true });
  readonly #slice = new Uint8Array(readBytes);
  readonly #batch = new MessageBatch();

  constructor(stream: ClientStream) {
    this.#stream = stream;
  }

  /** Null at the end of what the client says, wherever that is. The frame is good until the next is read. */
  read(): Frame | null {
    for (;;) {
      const frame = this.#decoder.next();
      if (frame !== undefined) return frame;
      const count = this.#stream.read(this.#slice);
      if (count === 0) return null;
      this.#decoder.feed(this.#slice.subarray(0, count));
    }
  }

  /** At once: what is written before the copy. */
  write(frame: Uint8Array): void {
    this.#stream.write(frame);
  }

  /** Until the peer has no more to do, or nobody is there for it. */
  run(peer: CopyPeer): void {
    while (this.#turn(peer));
    this.#flush();
  }

  #turn(peer: CopyPeer): boolean {
    const message = peer.next();
    if (message === undefined) {
      if (peer.over) return false;
      this.#flush();
      return this.#receive(peer);
    }
    // What is small travels with what follows.
    if (message !== "working") this.#batch.add(message);
    if (this.#batch.isFull) this.#flush();
    // With something of our own to do, only what is there already.
    if (this.#batch.isEmpty && this.#stream.hasInput()) return this.#receive(peer);
    return true;
  }

  #flush(): void {
    if (!this.#batch.isEmpty) this.write(this.#batch.take());
  }

  /** All of one read. */
  #receive(peer: CopyPeer): boolean {
    const first = this.read();
    if (first === null) return false;
    for (let frame: Frame | undefined = first; frame !== undefined; frame = this.#decoder.next())
      peer.receive(decodeFileMessage(frame));
    return true;
  }
}

const readBytes = 256 * 1024;
