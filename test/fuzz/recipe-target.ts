import { zstdCompressSync } from "node:zlib";
import { ArchiveRecipe, pieceIdBytes, RecipeWriter } from "../../src/protocol/archive-recipe.ts";
import { WireError } from "../../src/protocol/errors.ts";
import { limits } from "../../src/protocol/limits.ts";
import { unpackBatch } from "../../src/system/archive/piece-batch.ts";
import type { FuzzTarget } from "../support/fuzz.ts";
import { between, type Random, randomBytes } from "../support/seed.ts";
import { readVectors } from "../support/vectors.ts";

function anyRecipe(random: Random): Uint8Array {
  const writer = new RecipeWriter();
  for (let items = between(random, 1, 12); items > 0; items--) {
    const length = between(random, 1, limits.pieceBytesMax);
    if (random() < 0.4) writer.literal(length);
    else writer.piece(length, randomBytes(random, pieceIdBytes));
  }
  return writer.finish();
}

/** What a client says an archive is made of: written again it is the same, and no item is without a length it may have. */
export const recipes: FuzzTarget = {
  name: "recipes",
  runs: 500_000,
  corpus: (random) => [
    ...readVectors("recipe.txt").map(({ bytes }) => bytes),
    ...Array.from({ length: 200 }, () => anyRecipe(random)),
  ],
  check: (bytes) => {
    const recipe = orRefused(() => new ArchiveRecipe(bytes));
    if (recipe === undefined) return false;
    const again = new RecipeWriter();
    let [pieces, tarBytes] = [0, 0];
    for (const { length, id } of recipe.items()) {
      if (length < 1 || length > limits.pieceBytesMax) throw new Error(`an item of ${length}`);
      tarBytes += length;
      if (id === undefined) again.literal(length);
      else again.piece(length, id);
      if (id !== undefined) pieces += 1;
    }
    if (pieces !== recipe.pieces || tarBytes !== recipe.tarBytes) throw new Error("other sums");
    if (Buffer.compare(again.finish(), bytes) !== 0) throw new Error("other bytes");
    return true;
  },
};

/** What it packs together: from one byte to as many as fit, or `WireError`. */
export const batches: FuzzTarget = {
  name: "piece batches",
  runs: 60_000,
  corpus: (random) =>
    Array.from({ length: 60 }, () => {
      const noise = randomBytes(random, between(random, 1, 300));
      const zeros = new Uint8Array(between(random, 0, 2 * limits.batchBytesMax));
      return zstdCompressSync(random() < 0.9 ? noise : Buffer.concat([noise, zeros]));
    }),
  check: (bytes) => {
    const content = orRefused(() => unpackBatch(bytes));
    if (content === undefined) return false;
    if (content.length < 1 || content.length > limits.batchBytesMax)
      throw new Error(`${content.length} bytes in a batch`);
    return true;
  },
};

function orRefused<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}
