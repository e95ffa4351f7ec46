/**
 * Cuts content where the content itself says so (a gear hash over the last 32 bytes, as in FastCDC):
 * bytes put in or taken out move the cuts around them and no others, so most chunks of a changed
 * file are chunks of the file before. Both sides must cut alike: the table and the rules are protocol.
 */
export class ChunkCutter {
  readonly #minBytes: number;
  readonly #maxBytes: number;
  readonly #mask: number;
  #hash = 0;
  #length = 0;

  /** Chunks of 2^averageBits bytes on average, a quarter of that at least and four times that at most. */
  constructor(averageBits: number) {
    // By shifts: as results of ** and / they would make the search count in floating point, five times slower.
    this.#minBytes = 1 << (averageBits - 2);
    this.#maxBytes = 1 << (averageBits + 2);
    // The high bits depend on all of the last 32 bytes.
    this.#mask = -1 << (32 - averageBits);
  }

  /** The index after the chunk that began before or at `start`, or -1 when it goes on beyond `bytes`. */
  cut(bytes: Uint8Array, start: number): number {
    let at = start;
    if (this.#length < this.#minBytes) {
      const skipped = Math.min(this.#minBytes - this.#length, bytes.length - at);
      this.#length += skipped;
      at += skipped;
      if (this.#length < this.#minBytes) return -1;
    }
    const end = Math.min(bytes.length, at + this.#maxBytes - this.#length);
    const mask = this.#mask;
    let hash = this.#hash;
    for (let index = at; index < end; index++) {
      hash = ((hash << 1) + (gear[bytes[index] ?? 0] ?? 0)) | 0;
      if ((hash & mask) === 0) return this.#cutAt(index + 1);
    }
    this.#hash = hash;
    this.#length += end - at;
    return this.#length === this.#maxBytes ? this.#cutAt(end) : -1;
  }

  #cutAt(end: number): number {
    this.#hash = 0;
    this.#length = 0;
    return end;
  }
}

/** So that a file has about 2^15 chunks or fewer, and none is smaller than is worth its 20 bytes. */
export function averageBitsFor(sizeBytes: number): number {
  let bits = averageBitsMin;
  while (bits < averageBitsMax && sizeBytes / 2 ** bits > 2 ** 15) bits += 1;
  return bits;
}

export const averageBitsMin = 14;
export const averageBitsMax = 20;

/** 256 numbers of splitmix32 from a fixed seed. */
const gear: Int32Array = new Int32Array(256);
let state = 0x666c7976;
for (let index = 0; index < gear.length; index++) {
  state = (state + 0x9e3779b9) | 0;
  let mixed = state ^ (state >>> 16);
  mixed = Math.imul(mixed, 0x21f0aaad);
  mixed ^= mixed >>> 15;
  mixed = Math.imul(mixed, 0x735a2d97);
  gear[index] = mixed ^ (mixed >>> 15);
}
