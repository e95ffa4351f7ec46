import { closeSync, ftruncateSync, openSync, readFileSync } from "node:fs";

/** The input being tried, in memory shared with a file: it is still there when the process is not. */
export class LastInput {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset);
  }

  static open(path: string): LastInput {
    const fd = openSync(path, "w+", 0o600);
    ftruncateSync(fd, 4 + inputBytesMax);
    closeSync(fd);
    return new LastInput(Bun.mmap(path, { shared: true }));
  }

  note(bytes: Uint8Array): void {
    const length = Math.min(bytes.length, inputBytesMax);
    this.#bytes.set(bytes.subarray(0, length), 4);
    this.#view.setUint32(0, length);
  }

  static read(path: string): Uint8Array {
    const bytes = Uint8Array.from(readFileSync(path));
    const length = bytes.length < 4 ? 0 : new DataView(bytes.buffer).getUint32(0);
    return bytes.subarray(4, 4 + length);
  }
}

const inputBytesMax = 128 * 1024;
