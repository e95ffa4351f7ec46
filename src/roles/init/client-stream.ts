import { readSync, writeSync } from "node:fs";
import { hasInput } from "../../system/process-pipe.ts";
import { makeBlocking } from "../../system/process.ts";

export interface ClientDescriptors {
  /** A pipe with what the keeper had read already. */
  readonly earlyFd: number;
  /** Read once that pipe has ended. */
  readonly inFd: number;
  readonly outFd: number;
}

/**
 * A client's stream in a process of ours that the keeper has lent it to, by blocking calls: such a process may use no
 * others. It may wait in a write while the client writes, too: the client always reads.
 */
export class ClientStream {
  readonly #inFd: number;
  readonly #outFd: number;
  readonly #earlyFd: number;
  #hasEarly = true;
  #hasSpoken = false;

  constructor({ earlyFd, inFd, outFd }: ClientDescriptors = lentDescriptors) {
    this.#earlyFd = earlyFd;
    this.#inFd = inFd;
    this.#outFd = outFd;
    // Bun has changed that at its start, and the keeper has it otherwise.
    for (const fd of [earlyFd, inFd, outFd]) makeBlocking(fd);
  }

  /** Whether the client has heard from us: if not, the keeper has the word. */
  get hasSpoken(): boolean {
    return this.#hasSpoken;
  }

  /** How many bytes came; 0 at the end of what the client says. */
  read(buffer: Uint8Array): number {
    if (this.#hasEarly) {
      const count = readSync(this.#earlyFd, buffer);
      if (count > 0) return count;
      this.#hasEarly = false;
    }
    return readSync(this.#inFd, buffer);
  }

  /** Whether `read` would not wait. */
  hasInput(): boolean {
    return hasInput(this.#hasEarly ? this.#earlyFd : this.#inFd);
  }

  /** Throws EPIPE when the client is gone. */
  write(bytes: Uint8Array): void {
    this.#hasSpoken = true;
    for (let at = 0; at < bytes.length;) at += writeSync(this.#outFd, bytes, at, bytes.length - at);
  }
}

/** As `startGuestProcess` gives them. */
const lentDescriptors: ClientDescriptors = { earlyFd: 0, inFd: 1, outFd: 1 };
