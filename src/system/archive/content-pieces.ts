import { pieceAverageBits, pieceIdBytes } from "../../protocol/archive-recipe.ts";
import { ChunkCutter } from "../../protocol/content-chunks.ts";

export interface ContentPiece {
  readonly length: number;
  readonly id: Uint8Array;
}

/** Cuts the content of one file after another, in any slices, as both ends of a provisioning do. */
export class ContentPieces {
  #cutter = new ChunkCutter(pieceAverageBits);
  #hash = new Bun.CryptoHasher("sha256");
  #length = 0;

  /** Those that end within `bytes`. */
  *push(bytes: Uint8Array): Generator<ContentPiece, void, undefined> {
    for (let at = 0; at < bytes.length;) {
      const cut = this.#cutter.cut(bytes, at);
      const end = cut < 0 ? bytes.length : cut;
      this.#hash.update(bytes.subarray(at, end));
      this.#length += end - at;
      at = end;
      if (cut >= 0) yield this.#take();
    }
  }

  /** The content is over: what is left of it. The next `push` begins another one. */
  end(): ContentPiece | undefined {
    this.#cutter = new ChunkCutter(pieceAverageBits);
    return this.#length === 0 ? undefined : this.#take();
  }

  #take(): ContentPiece {
    const piece = { length: this.#length, id: this.#hash.digest().subarray(0, pieceIdBytes) };
    this.#hash = new Bun.CryptoHasher("sha256");
    this.#length = 0;
    return piece;
  }
}

/** Of a piece that is there as a whole. */
export function pieceId(bytes: Uint8Array): Uint8Array {
  return new Bun.CryptoHasher("sha256").update(bytes).digest().subarray(0, pieceIdBytes);
}

/** For maps. */
export function pieceKey(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.length).toString("latin1");
}
