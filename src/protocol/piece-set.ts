import { WireError } from "./errors.ts";

/** Some of the pieces of a recipe, one bit each, the first one the lowest bit of the first byte. */
export class PieceSet {
  readonly bytes: Uint8Array;

  private constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  static none(pieces: number): PieceSet {
    return new PieceSet(new Uint8Array(Math.ceil(pieces / 8)));
  }

  /** Throws `WireError` unless it is about so many pieces. */
  static decode(bytes: Uint8Array, pieces: number): PieceSet {
    if (bytes.length !== Math.ceil(pieces / 8))
      throw new WireError(`${bytes.length} bytes about ${pieces} pieces`);
    return new PieceSet(bytes);
  }

  add(index: number): void {
    this.bytes[index >> 3] = (this.bytes[index >> 3] ?? 0) | (1 << (index & 7));
  }

  has(index: number): boolean {
    return ((this.bytes[index >> 3] ?? 0) & (1 << (index & 7))) !== 0;
  }
}
