import { Failure } from "../../../cli/failure.ts";
import type { ArchiveRecipe, RecipeItem } from "../../../protocol/archive-recipe.ts";
import { PieceSet } from "../../../protocol/piece-set.ts";
import { decompress } from "../../../system/archive/decompress.ts";
import { PieceBatch } from "../../../system/archive/piece-batch.ts";
import { clientLimits } from "../limits.ts";
import { MadeBatches } from "./made-batches.ts";
import { BetterWhole, inFrames, type RootfsUpload } from "./rootfs-upload.ts";

/**
 * The recipe of an archive, then what the machine lacks of it. Anything but the recipe is made anew from
 * the archive for each connection: only a batch of it is ever held.
 */
export class DeltaUpload implements RootfsUpload {
  readonly #archive: Pick<RootfsUpload, "bytes">;
  readonly #recipe: ArchiveRecipe;
  readonly #worthBytes: number;
  /** Of the tar stream: what that stands for which was read from here. */
  #sentBytes = 0;
  #neededBytes: number | undefined;
  readonly #made = new MadeBatches();

  /** `archiveBytes`: how large the archive is, which may be packed better than we do it here. */
  constructor(archive: Pick<RootfsUpload, "bytes">, recipe: ArchiveRecipe, archiveBytes: number) {
    this.#archive = archive;
    this.#recipe = recipe;
    const isPacked = archiveBytes < recipe.tarBytes;
    this.#worthBytes = isPacked ? recipe.tarBytes * clientLimits.deltaShareMax : Infinity;
  }

  async *bytes(
    start: number,
    lacking: Promise<Uint8Array>,
    signal?: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const recipe = this.#recipe.bytes;
    yield* inFrames(recipe, start);
    const pieces = PieceSet.decode(await lacking, this.#recipe.pieces);
    this.#neededBytes = neededBytes(this.#recipe, pieces);
    if (this.#neededBytes > this.#worthBytes) throw new BetterWhole("the machine has little of it");
    this.#made.resume(start, pieces.bytes);
    if (start !== this.#made.end) yield* this.#batchesFrom(start, pieces, signal);
  }

  progress(offset: number) {
    const bytes = offset < this.#recipe.bytes.length ? 0 : this.#sentBytes;
    return { bytes, totalBytes: this.#neededBytes };
  }

  /** What the machine has is passed over; it need not be packed for that. */
  async *#batchesFrom(
    start: number,
    lacking: PieceSet,
    signal?: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    let [offset, index, neededDone] = [this.#recipe.bytes.length, 0, 0];
    for await (const batch of this.#batches(lacking, signal)) {
      neededDone += batch.length;
      let length = this.#made.lengthOf(index);
      if (length !== undefined && offset + length <= start) {
        batch.clear();
      } else {
        const packed = batch.pack();
        length = packed.length;
        this.#made.add(index, length);
        if (offset + length > start) this.#sentBytes = neededDone;
        yield* inFrames(packed, Math.max(0, start - offset));
      }
      offset += length;
      index += 1;
    }
    if (signal?.aborted !== true) this.#made.end = offset;
  }

  /** To be packed or cleared before the next one is asked for. */
  async *#batches(lacking: PieceSet, signal?: AbortSignal): AsyncGenerator<PieceBatch> {
    const batch = new PieceBatch();
    const walk = new RecipeWalk(this.#recipe, lacking);
    const whole = this.#archive.bytes(0, never);
    for await (const chunk of decompress(whole)) {
      if (signal?.aborted === true) return;
      for (let at = 0; at < chunk.length;) {
        if (walk.left === 0 && !walk.next()) throw changed();
        if (walk.isNeeded && batch.isFullFor(walk.left)) yield batch;
        const bytes = walk.take(chunk, at);
        if (walk.isNeeded) batch.add(bytes);
        at += bytes.length;
      }
    }
    if (walk.left > 0 || walk.next()) throw changed();
    if (batch.length > 0) yield batch;
  }
}

/** Where in its recipe a tar stream is. */
class RecipeWalk {
  readonly #items: Iterator<RecipeItem, void, undefined>;
  readonly #lacking: PieceSet;
  #piece = 0;
  /** Of the item that it is in. */
  left = 0;
  isNeeded = false;

  constructor(recipe: ArchiveRecipe, lacking: PieceSet) {
    this.#items = recipe.items();
    this.#lacking = lacking;
  }

  /** False at the end. */
  next(): boolean {
    const { done, value } = this.#items.next();
    if (done === true) return false;
    this.left = value.length;
    this.isNeeded = value.id === undefined || this.#lacking.has(this.#piece);
    if (value.id !== undefined) this.#piece += 1;
    return true;
  }

  /** As much of the item as the chunk has. */
  take(chunk: Uint8Array, at: number): Uint8Array {
    const bytes = chunk.subarray(at, at + this.left);
    this.left -= bytes.length;
    return bytes;
  }
}

function neededBytes(recipe: ArchiveRecipe, lacking: PieceSet): number {
  let [bytes, piece] = [0, 0];
  for (const { length, id } of recipe.items()) {
    if (id === undefined || lacking.has(piece)) bytes += length;
    if (id !== undefined) piece += 1;
  }
  return bytes;
}

function changed(): Failure {
  return new Failure("FV-PROV-001", "the rootfs file changed while it was sent", {
    fix: "wait until it is written whole, then start again; nothing was changed",
  });
}

const never = new Promise<Uint8Array>(() => {});
