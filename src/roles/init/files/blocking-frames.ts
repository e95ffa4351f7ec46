import { readSync, writeSync } from "node:fs";
import { decodeFileMessage, encodeFileMessage } from "../../../protocol/file-frame.ts";
import { type Frame, FrameDecoder } from "../../../protocol/frame.ts";
import type { CopyPeer } from "../../../system/copy/copy-peer.ts";
import { hasInput } from "../../../system/process-pipe.ts";

/**
 * Frames over two pipes by blocking calls: in a process that may use no others. It may wait in a write
 * while the client writes, too: the client always reads.
 */
export class BlockingFrames {
  readonly #inFd: number;
  readonly #outFd: number;
  readonly #decoder = new FrameDecoder();
  #batch: Uint8Array[] = [];
  #batchBytes = 0;

  constructor(inFd: number, outFd: number) {
    this.#inFd = inFd;
    this.#outFd = outFd;
  }

  /** Null at the end of what the client says, wherever that is. */
  read(): Frame | null {
    for (;;) {
      const frame = this.#decoder.next();
      if (frame !== undefined) return frame;
      const slice = Buffer.allocUnsafe(readBytes);
      const count = readSync(this.#inFd, slice);
      if (count === 0) return null;
      this.#decoder.feed(slice.subarray(0, count));
    }
  }

  /** What is small travels with what follows. */
  write(frame: Uint8Array): void {
    this.#batch.push(frame);
    this.#batchBytes += frame.length;
    if (this.#batchBytes >= batchBytes) this.flush();
  }

  flush(): void {
    if (this.#batchBytes === 0) return;
    const [first = emptyBytes, ...others] = this.#batch;
    const bytes = others.length === 0 ? first : Buffer.concat(this.#batch);
    this.#batch = [];
    this.#batchBytes = 0;
    const { length } = bytes;
    for (let at = 0; at < length;) at += writeSync(this.#outFd, bytes, at, bytes.length - at);
  }

  /** Until the peer has no more to do, or nobody is there for it. */
  run(peer: CopyPeer): void {
    while (this.#turn(peer));
    this.flush();
  }

  #turn(peer: CopyPeer): boolean {
    const message = peer.next();
    if (message !== undefined && message !== "working") this.write(encodeFileMessage(message));
    if (message === undefined) {
      if (peer.over) return false;
      this.flush();
      return this.#receive(peer);
    }
    // With something of our own to do, only what is there already.
    if (this.#batchBytes === 0 && hasInput(this.#inFd)) return this.#receive(peer);
    return true;
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

const emptyBytes = new Uint8Array(0);
const readBytes = 256 * 1024;
const batchBytes = 64 * 1024;
