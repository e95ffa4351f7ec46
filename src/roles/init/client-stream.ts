import { readSync, writeSync } from "node:fs";
import { hasInput } from "../../system/process-pipe.ts";
import { makeBlocking } from "../../system/process.ts";
import { noteFirstWord, readEarly } from "./lending-note.ts";

export interface ClientStreamParts {
  /** Read of it before. */
  readonly early: Uint8Array;
  readonly inFd: number;
  readonly outFd: number;
  /** Called before the first write. */
  readonly onFirstWord: () => void;
}

/**
 * A client's stream in a process of ours, by blocking calls: such a process may use no others. It may wait in a write
 * while the client writes, too: the client always reads.
 */
export class ClientStream {
  readonly #parts: ClientStreamParts;
  #early: Uint8Array;
  #hasSpoken = false;

  /** The one that the keeper has lent this process, as `startGuestProcess` gives it: the note is 0, the socket 1. */
  static lent(): ClientStream {
    // Bun has changed that at its start, and the keeper has it otherwise.
    makeBlocking(1);
    return new ClientStream({ early: readEarly(0), inFd: 1, outFd: 1, onFirstWord: noteIt });
  }

  constructor(parts: ClientStreamParts) {
    this.#parts = parts;
    this.#early = parts.early;
  }

  /** How many bytes came; 0 at the end of what the client says. */
  read(buffer: Uint8Array): number {
    const count = Math.min(buffer.length, this.#early.length);
    if (count === 0) return readSync(this.#parts.inFd, buffer);
    buffer.set(this.#early.subarray(0, count));
    this.#early = this.#early.subarray(count);
    return count;
  }

  /** Whether `read` would not wait. */
  hasInput(): boolean {
    return this.#early.length > 0 || hasInput(this.#parts.inFd);
  }

  /** Throws EPIPE when the client is gone. */
  write(bytes: Uint8Array): void {
    if (!this.#hasSpoken) this.#parts.onFirstWord();
    this.#hasSpoken = true;
    const { outFd } = this.#parts;
    for (let at = 0; at < bytes.length;) at += writeSync(outFd, bytes, at, bytes.length - at);
  }
}

function noteIt(): void {
  noteFirstWord(0);
}
