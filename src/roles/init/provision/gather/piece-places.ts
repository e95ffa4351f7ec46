import { type ArchiveRecipe, pieceIdBytes } from "../../../../protocol/archive-recipe.ts";
import { PieceSet } from "../../../../protocol/piece-set.ts";
import type { ContentPiece } from "../../../../system/archive/content-pieces.ts";
import { PathTable } from "./path-table.ts";

export interface PiecePlace {
  /** Its number, the same for all pieces of it, and where it is below the old tree. */
  readonly file: number;
  readonly path: Uint8Array;
  readonly offset: number;
}

/**
 * Where the pieces that a recipe asks for lie in the old tree; others are not remembered. A table of numbers
 * with open addressing: as a map of texts a recipe of a million pieces would take 350 MB.
 */
export class PiecePlaces {
  readonly #recipe: Buffer;
  /** By the number of a piece: which is the first one like it, where its digest is in the recipe, its file, from 1. */
  readonly #first: Uint32Array;
  readonly #idAt: Uint32Array;
  readonly #file: Uint32Array;
  readonly #offset: Float64Array;
  /** Numbers of pieces, from 1, of which none is like another. */
  readonly #slots: Uint32Array;
  readonly #paths: PathTable;
  #wanted = 0;
  /** Nobody can choose digests that meet in one slot. */
  readonly #seed = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;

  constructor(recipe: ArchiveRecipe, pathBytesMax: number) {
    const { bytes, pieces } = recipe;
    this.#paths = new PathTable(pathBytesMax);
    this.#recipe = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#first = new Uint32Array(pieces);
    this.#idAt = new Uint32Array(pieces);
    this.#file = new Uint32Array(pieces);
    this.#offset = new Float64Array(pieces);
    this.#slots = new Uint32Array(2 ** Math.ceil(Math.log2(2 * pieces + 1)));
    let piece = 0;
    for (const { id } of recipe.items()) {
      if (id === undefined) continue;
      this.#idAt[piece] = id.byteOffset - bytes.byteOffset;
      const slot = this.#slotOf(id);
      if (this.#slots[slot] === 0) {
        this.#slots[slot] = piece + 1;
        this.#wanted += 1;
      }
      this.#first[piece] = (this.#slots[slot] ?? 0) - 1;
      piece += 1;
    }
  }

  /** Nothing is wanted that has no place yet. */
  get isComplete(): boolean {
    return this.#wanted === 0;
  }

  found({ id }: ContentPiece, path: Buffer, offset: number): void {
    const piece = this.#pieceOf(id);
    if (piece === undefined || this.#file[piece] !== 0) return;
    const file = this.#paths.add(path);
    if (file === undefined) return;
    this.#file[piece] = file;
    this.#offset[piece] = offset;
    this.#wanted -= 1;
  }

  of(id: Uint8Array): PiecePlace | undefined {
    const piece = this.#pieceOf(id);
    if (piece === undefined) return undefined;
    const file = this.#file[piece] ?? 0;
    if (file === 0) return undefined;
    return { file, path: this.#paths.of(file), offset: this.#offset[piece] ?? 0 };
  }

  lacking(): PieceSet {
    const lacking = PieceSet.none(this.#first.length);
    for (const [piece, first] of this.#first.entries())
      if (this.#file[first] === 0) lacking.add(piece);
    return lacking;
  }

  #pieceOf(id: Uint8Array): number | undefined {
    const found = this.#slots[this.#slotOf(id)] ?? 0;
    return found === 0 ? undefined : found - 1;
  }

  /** The one that has it, or the empty one where it belongs. */
  #slotOf(id: Uint8Array): number {
    const mask = this.#slots.length - 1;
    for (let slot = Bun.hash.xxHash32(id, this.#seed) & mask; ; slot = (slot + 1) & mask) {
      const found = this.#slots[slot] ?? 0;
      if (found === 0) return slot;
      const at = this.#idAt[found - 1] ?? 0;
      if (this.#recipe.compare(id, 0, pieceIdBytes, at, at + pieceIdBytes) === 0) return slot;
    }
  }
}
