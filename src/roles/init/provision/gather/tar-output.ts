import { writeSync } from "node:fs";

/** Bytes into a pipe by blocking calls, many small ones in one. */
export class TarOutput {
  readonly #fd: number;
  readonly #buffer = new Uint8Array(bufferBytes);
  #length = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Room for `length` bytes, at most 256 KiB, which count as written. */
  room(length: number): Uint8Array {
    if (this.#length + length > this.#buffer.length) this.flush();
    const start = this.#length;
    this.#length += length;
    return this.#buffer.subarray(start, this.#length);
  }

  flush(): void {
    for (let at = 0; at < this.#length;)
      at += writeSync(this.#fd, this.#buffer, at, this.#length - at);
    this.#length = 0;
  }
}

const bufferBytes = 512 * 1024;
