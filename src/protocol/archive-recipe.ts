import { WireError } from "./errors.ts";
import { limits } from "./limits.ts";

/**
 * How the tar stream of an archive is put together. Contents of files are pieces, cut where the content
 * says so (content-chunks.ts, begun anew with each file) and named by what is in them; all between two
 * contents is literal, and always sent.
 *
 *   piece     length u32, 1 to 256 KiB | the first 16 bytes of its SHA-256
 *   literal   length u32 with the highest bit set, 1 to 256 KiB
 */
export interface RecipeItem {
  readonly length: number;
  /** Of a piece; a literal has none. A view of the recipe. */
  readonly id: Uint8Array | undefined;
}

/** Pieces are 2^16 bytes on average. */
export const pieceAverageBits = 16;
export const pieceIdBytes = 16;

/** A recipe as it travels, checked as a whole. */
export class ArchiveRecipe {
  readonly bytes: Uint8Array;
  readonly pieces: number;
  /** What the items make together. */
  readonly tarBytes: number;

  /** Throws `WireError`. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    let [pieces, items, tarBytes] = [0, 0, 0];
    for (const { length, id } of this.items()) {
      if (length === 0 || length > limits.pieceBytesMax)
        throw new WireError(`A piece of ${length} bytes in a recipe`);
      items += 1;
      if (id !== undefined) pieces += 1;
      tarBytes += length;
    }
    if (items > limits.recipeItemsMax) throw new WireError(`A recipe of ${items} items`);
    this.pieces = pieces;
    this.tarBytes = tarBytes;
  }

  *items(): Generator<RecipeItem, void, undefined> {
    const { bytes } = this;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0; at < bytes.length;) {
      const idEnd = at + 4 + pieceIdBytes;
      if (at + 4 > bytes.length) throw new WireError("A recipe that is cut short");
      const word = view.getUint32(at);
      if (word >= literalBit) {
        at += 4;
        yield { length: word - literalBit, id: undefined };
      } else {
        if (idEnd > bytes.length) throw new WireError("A recipe that is cut short");
        const id = bytes.subarray(at + 4, idEnd);
        at = idEnd;
        yield { length: word, id };
      }
    }
  }
}

/** Makes one. */
export class RecipeWriter {
  #bytes = new Uint8Array(roomAtFirst);
  #length = 0;
  #items = 0;
  /** More would not be taken: the archive has to be sent as it is. */
  isFull = false;

  piece(length: number, id: Uint8Array): void {
    const at = this.#open(4 + pieceIdBytes, length);
    if (!this.isFull) this.#bytes.set(id, at + 4);
  }

  literal(length: number): void {
    this.#open(4, literalBit + length);
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #open(room: number, word: number): number {
    this.#items += 1;
    this.isFull = this.#items > limits.recipeItemsMax;
    if (this.isFull) return 0;
    const at = this.#length;
    this.#length += room;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(this.#bytes.length * 2);
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
    }
    new DataView(this.#bytes.buffer).setUint32(at, word);
    return at;
  }
}

const literalBit = 2 ** 31;
const roomAtFirst = 64 * 1024;
