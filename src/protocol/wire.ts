import { WireError } from "./errors.ts";

/** Writes big-endian integers and bytes into one growing buffer. */
export class Writer {
  #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;

  constructor(bytesExpected = 64) {
    this.#bytes = new Uint8Array(bytesExpected);
  }

  u8(value: number): this {
    return this.#integer(value, 1);
  }

  u16(value: number): this {
    return this.#integer(value, 2);
  }

  u24(value: number): this {
    return this.#integer(value, 3);
  }

  u32(value: number): this {
    return this.#integer(value, 4);
  }

  /** A safe integer in eight bytes. */
  u64(value: number): this {
    if (!Number.isSafeInteger(value) || value < 0)
      throw new RangeError(`Not a u64 we can write: ${value}`);
    return this.u32(Math.floor(value / 2 ** 32)).u32(value % 2 ** 32);
  }

  bytes(value: Uint8Array): this {
    this.#room(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  #integer(value: number, size: number): this {
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * size)) {
      throw new RangeError(`Not a u${8 * size}: ${value}`);
    }
    this.#room(size);
    for (let i = size - 1; i >= 0; i--) {
      this.#bytes[this.#length++] = Math.floor(value / 2 ** (8 * i)) & 0xff;
    }
    return this;
  }

  #room(size: number): void {
    const needed = this.#length + size;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

/** Reads what `Writer` wrote; every short read is a `WireError` that names what was being read. */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  #offset = 0;

  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#what = what;
  }

  u8(): number {
    return this.#integer(1);
  }

  u16(): number {
    return this.#integer(2);
  }

  u24(): number {
    return this.#integer(3);
  }

  u32(): number {
    return this.#integer(4);
  }

  u64(): number {
    const value = this.u32() * 2 ** 32 + this.u32();
    if (!Number.isSafeInteger(value)) throw new WireError(`${this.#what} has an offset above 2^53`);
    return value;
  }

  bytes(length: number): Uint8Array {
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** Of its own: what is kept must not pin what it came with, which may be used again. `slice` of a Buffer would be a view. */
  copy(length: number): Uint8Array {
    return new Uint8Array(this.bytes(length));
  }

  rest(): Uint8Array {
    return this.bytes(this.left);
  }

  get left(): number {
    return this.#bytes.length - this.#offset;
  }

  /** Exact lengths: a message with bytes left over is refused. */
  finish(): void {
    if (this.left !== 0) throw new WireError(`${this.#what} has ${this.left} bytes too many`);
  }

  /** By index: a view for each number costs more than all the rest of reading it. */
  #integer(size: number): number {
    const start = this.#take(size);
    let value = 0;
    for (let at = start; at < start + size; at++) value = value * 256 + (this.#bytes[at] ?? 0);
    return value;
  }

  /** Where the next `length` bytes begin, which are read with this. */
  #take(length: number): number {
    const start = this.#offset;
    if (start + length > this.#bytes.length) throw new WireError(`${this.#what} is cut short`);
    this.#offset = start + length;
    return start;
  }
}
