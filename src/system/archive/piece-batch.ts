import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { WireError } from "../../protocol/errors.ts";
import { limits } from "../../protocol/limits.ts";

/**
 * What is sent of a tar stream travels in batches of whole items of its recipe, each compressed by itself:
 * length u32 of what follows, one zstd frame of 1 byte to 1 MiB. Made again they are the same, byte for
 * byte, so that an upload can go on in the middle of one.
 */
export class PieceBatch {
  readonly #bytes = new Uint8Array(limits.batchBytesMax);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Whether an item of that length must wait for the next one. */
  isFullFor(length: number): boolean {
    return this.#length + length > this.#bytes.length;
  }

  add(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Nobody needs it: the next one. */
  clear(): void {
    this.#length = 0;
  }

  /** The batch as it travels; the next one is empty. */
  pack(): Uint8Array {
    const packed = zstdCompressSync(this.#bytes.subarray(0, this.#length));
    const whole = new Uint8Array(batchHeaderBytes + packed.length);
    new DataView(whole.buffer).setUint32(0, packed.length);
    whole.set(packed, batchHeaderBytes);
    this.clear();
    return whole;
  }
}

export const batchHeaderBytes = 4;

/** Length of the packed batch. Throws `WireError`. */
export function batchLength(header: Uint8Array): number {
  const length = new DataView(header.buffer, header.byteOffset, batchHeaderBytes).getUint32(0);
  if (length === 0 || length > packedBytesMax) throw new WireError(`A batch of ${length} bytes`);
  return length;
}

/** What is in it. Throws `WireError`, also for more than fits one. */
export function unpackBatch(packed: Uint8Array): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = zstdDecompressSync(packed, { maxOutputLength: limits.batchBytesMax });
  } catch (error) {
    throw new WireError(`A batch that cannot be unpacked (${String(error)})`);
  }
  if (bytes.length === 0) throw new WireError("A batch with nothing in it");
  return bytes;
}

/** What does not get smaller grows a little. */
const packedBytesMax = limits.batchBytesMax + 16 * 1024;
