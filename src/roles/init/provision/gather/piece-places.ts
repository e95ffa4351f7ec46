import type { ArchiveRecipe } from "../../../../protocol/archive-recipe.ts";
import { PieceSet } from "../../../../protocol/piece-set.ts";
import { type ContentPiece, pieceKey } from "../../../../system/archive/content-pieces.ts";

export interface PiecePlace {
  /** Below the old tree. */
  readonly path: Buffer;
  readonly offset: number;
}

/** Where the pieces that a recipe asks for lie in the old tree; others are not remembered. */
export class PiecePlaces {
  readonly #recipe: ArchiveRecipe;
  readonly #places = new Map<string, PiecePlace | undefined>();

  constructor(recipe: ArchiveRecipe) {
    this.#recipe = recipe;
    for (const { id } of recipe.items())
      if (id !== undefined) this.#places.set(pieceKey(id), undefined);
  }

  found({ id }: ContentPiece, path: Buffer, offset: number): void {
    const key = pieceKey(id);
    if (this.#places.has(key) && this.#places.get(key) === undefined)
      this.#places.set(key, { path, offset });
  }

  of(id: Uint8Array): PiecePlace | undefined {
    return this.#places.get(pieceKey(id));
  }

  lacking(): PieceSet {
    const lacking = PieceSet.none(this.#recipe.pieces);
    let index = 0;
    for (const { id } of this.#recipe.items()) {
      if (id === undefined) continue;
      if (this.of(id) === undefined) lacking.add(index);
      index += 1;
    }
    return lacking;
  }
}
