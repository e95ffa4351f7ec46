import { contentHead, encodeFileMessage } from "../../protocol/file-frame.ts";
import type { FileMessage } from "../../protocol/file-message.ts";
import { limits } from "../../protocol/limits.ts";
import { copyLimits } from "./copy-limits.ts";

/**
 * Messages on their way out, one after the other in memory that is used again: a large file in arrays of
 * its own costs more for fresh pages than for all that is done with them.
 */
export class MessageBatch {
  readonly #bytes = new Uint8Array(copyLimits.batchBytesMin + roomOfOneBytes);
  #length = 0;

  /** Whether it should go out before more is added. */
  get isFull(): boolean {
    return this.#length >= copyLimits.batchBytesMin;
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  add(message: FileMessage): void {
    if (message.type !== "content" && message.type !== "whole") {
      this.#append(encodeFileMessage(message));
      return;
    }
    this.#append(contentHead(message));
    this.#append(message.bytes);
  }

  /** What there is, good until more is added; the batch is empty then. */
  take(): Uint8Array {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#length = 0;
    return taken;
  }

  #append(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }
}

/** No frame of a copy is larger than one of content. */
const roomOfOneBytes = limits.fileContentBytesMax + 1024;
