import { readSync } from "node:fs";
import {
  batchHeaderBytes,
  batchLength,
  unpackBatch,
} from "../../../../system/archive/piece-batch.ts";
import { GatherRefusal } from "./gather-refusal.ts";

/** What the client sends, by blocking calls: a recipe, and then batches of which the content is one stream. */
export class SentBytes {
  readonly #fd: number;
  #batch: Uint8Array = new Uint8Array(0);
  #at = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** As they came. */
  raw(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const read = readSync(this.#fd, bytes, at, length - at, null);
      if (read === 0) throw new GatherRefusal("archive-truncated", "The upload ended too early");
      at += read;
    }
    return bytes;
  }

  /** The next bytes out of the batches, into all of `into`. */
  take(into: Uint8Array): void {
    for (let filled = 0; filled < into.length;) {
      if (this.#at === this.#batch.length) this.#next();
      const part = this.#batch.subarray(this.#at, this.#at + into.length - filled);
      into.set(part, filled);
      this.#at += part.length;
      filled += part.length;
    }
  }

  /** To be called when all was taken. */
  finish(): void {
    const more = this.#at < this.#batch.length || readSync(this.#fd, new Uint8Array(1)) > 0;
    if (more) throw new GatherRefusal("bad-request", "More was sent than the recipe is about");
  }

  #next(): void {
    this.#batch = unpackBatch(this.raw(batchLength(this.raw(batchHeaderBytes))));
    this.#at = 0;
  }
}
