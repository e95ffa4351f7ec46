import { ProtocolError } from "../../protocol/errors.ts";
import type { FileChunk } from "../../protocol/file-message.ts";
import { limits } from "../../protocol/limits.ts";

/** Where the other side has which chunks of the file that is to be replaced. */
export class ChunkPlaces {
  readonly #places = new Map<string, number>();
  #count = 0;
  #end = 0;

  add(chunks: readonly FileChunk[]): void {
    this.#count += chunks.length;
    if (this.#count > limits.fileChunksMax)
      throw new ProtocolError("More chunks than a file may have");
    for (const { length, digest } of chunks) {
      const key = keyOf(length, digest);
      if (!this.#places.has(key)) this.#places.set(key, this.#end);
      this.#end += length;
    }
  }

  /** Its offset there. */
  find(length: number, digest: Uint8Array): number | undefined {
    return this.#places.get(keyOf(length, digest));
  }
}

/** Sixteen bytes of its SHA-256; the digest of the whole file is checked at the end all the same. */
export function chunkDigest(bytes: Uint8Array): Uint8Array {
  return new Bun.CryptoHasher("sha256").update(bytes).digest().subarray(0, 16);
}

function keyOf(length: number, digest: Uint8Array): string {
  return `${length}:${Buffer.from(digest.buffer, digest.byteOffset, digest.length).toString("latin1")}`;
}
