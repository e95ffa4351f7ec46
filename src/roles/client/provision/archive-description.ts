import { ArchiveRecipe, RecipeWriter } from "../../../protocol/archive-recipe.ts";
import { limits } from "../../../protocol/limits.ts";
import { ArchiveCorrupt, ArchiveFormat } from "../../../system/archive/archive-error.ts";
import { ContentPieces } from "../../../system/archive/content-pieces.ts";
import { decompress } from "../../../system/archive/decompress.ts";
import { TarReader } from "../../../system/archive/tar/reader.ts";
import { TarRefusal } from "../../../system/archive/tar/refusal.ts";

/** What there is to say of an archive before any of it is sent. */
export interface ArchiveDescription {
  readonly sha256: string;
  readonly tarSha256: string;
  readonly recipe: ArchiveRecipe;
}

/**
 * Reads all of it; undefined for one that must be sent as it is: too many pieces, or the machine will refuse
 * it. Throws what `archive` throws.
 */
export async function describeArchive(
  archive: AsyncIterable<Uint8Array>,
): Promise<ArchiveDescription | undefined> {
  const hash = new Bun.CryptoHasher("sha256");
  const tarHash = new Bun.CryptoHasher("sha256");
  const description = new TarDescription();
  try {
    for await (const chunk of decompress(throughHash(archive, hash))) {
      tarHash.update(chunk);
      description.push(chunk);
    }
    const recipe = description.finish();
    if (recipe === undefined) return undefined;
    return { sha256: hash.digest("hex"), tarSha256: tarHash.digest("hex"), recipe };
  } catch (error) {
    if (isRefusal(error)) return undefined;
    throw error;
  }
}

async function* throughHash(
  bytes: AsyncIterable<Uint8Array>,
  hash: Bun.CryptoHasher,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of bytes) {
    hash.update(chunk);
    yield chunk;
  }
}

/** The machine says it better, when it sees the archive. */
function isRefusal(error: unknown): boolean {
  return [TarRefusal, ArchiveFormat, ArchiveCorrupt].some((kind) => error instanceof kind);
}

class TarDescription {
  readonly #reader = new TarReader();
  readonly #recipe = new RecipeWriter();
  readonly #pieces = new ContentPieces();
  #literalBytes = 0;
  #isPieces = false;

  push(chunk: Uint8Array): void {
    let described = 0;
    for (const event of this.#reader.push(chunk)) {
      if (event.kind === "entry")
        this.#isPieces = event.entry.kind === "file" && event.entry.storedBytes >= contentBytesMin;
      else if (event.kind === "file-end") this.#endContent();
      else if (event.kind === "data" && this.#isPieces) {
        // The events are views of the chunk: what lies between them is literal.
        const start = event.bytes.byteOffset - chunk.byteOffset;
        this.#literalBytes += start - described;
        described = start + event.bytes.length;
        this.#flushLiteral();
        for (const { length, id } of this.#pieces.push(event.bytes)) this.#recipe.piece(length, id);
      }
    }
    this.#literalBytes += chunk.length - described;
  }

  finish(): ArchiveRecipe | undefined {
    this.#reader.finish();
    this.#flushLiteral();
    return this.#recipe.isFull ? undefined : new ArchiveRecipe(this.#recipe.finish());
  }

  #endContent(): void {
    const last = this.#pieces.end();
    if (last !== undefined) this.#recipe.piece(last.length, last.id);
  }

  #flushLiteral(): void {
    while (this.#literalBytes > 0) {
      const length = Math.min(this.#literalBytes, limits.pieceBytesMax);
      this.#recipe.literal(length);
      this.#literalBytes -= length;
    }
  }
}

/** Shorter ones cost less than to ask for them. */
const contentBytesMin = 64;
