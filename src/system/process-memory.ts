import { ptr } from "bun:ffi";
import { cString } from "./libc.ts";

/**
 * A NULL-ended array of C strings in one piece of memory. The caller keeps it until the call that
 * reads it is over; nothing in it moves.
 */
export class StringArray {
  readonly #bytes: Uint8Array<ArrayBuffer>;

  constructor(strings: readonly string[]) {
    const encoded = strings.map((text) => cString(text));
    const tableBytes = (encoded.length + 1) * pointerBytes;
    const length = encoded.reduce((sum, text) => sum + text.length, tableBytes);
    this.#bytes = new Uint8Array(new ArrayBuffer(length));
    const table = new BigUint64Array(this.#bytes.buffer, 0, encoded.length + 1);
    const base = BigInt(ptr(this.#bytes));
    let offset = tableBytes;
    for (const [index, text] of encoded.entries()) {
      this.#bytes.set(text, offset);
      table[index] = base + BigInt(offset);
      offset += text.length;
    }
  }

  /** Only valid while this object is reachable. */
  pointer(): ReturnType<typeof ptr> {
    return ptr(this.#bytes);
  }
}

const pointerBytes = 8;
