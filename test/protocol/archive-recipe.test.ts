import { expect, test } from "bun:test";
import fc from "fast-check";
import { ArchiveRecipe, pieceIdBytes, RecipeWriter } from "../../src/protocol/archive-recipe.ts";
import { WireError } from "../../src/protocol/errors.ts";
import { limits } from "../../src/protocol/limits.ts";
import { PieceSet } from "../../src/protocol/piece-set.ts";
import { seeded } from "../support/seed.ts";
import { readVectors, withHex } from "../support/vectors.ts";

function read(bytes: Uint8Array) {
  const recipe = new ArchiveRecipe(bytes);
  const { pieces, tarBytes } = recipe;
  const items = [...recipe.items()].map(({ length, id }) =>
    id === undefined ? { length } : { length, id },
  );
  return { pieces, tarBytes, items };
}

test.each(readVectors("recipe.txt"))("recipe: $name", ({ bytes, value, refused }) => {
  if (value === undefined) expect(() => read(bytes)).toThrow(refused);
  else expect(withHex(read(bytes))).toEqual(value);
});

const item = fc.record({
  length: fc.integer({ min: 1, max: limits.pieceBytesMax }),
  id: fc.option(fc.uint8Array({ minLength: pieceIdBytes, maxLength: pieceIdBytes }), {
    nil: undefined,
  }),
});

function written(items: readonly { length: number; id: Uint8Array | undefined }[]): RecipeWriter {
  const writer = new RecipeWriter();
  for (const { length, id } of items)
    if (id === undefined) writer.literal(length);
    else writer.piece(length, id);
  return writer;
}

test("what is written is read, and what is cut short is refused or a shorter recipe", () => {
  fc.assert(
    fc.property(fc.array(item, { maxLength: 40 }), (items) => {
      const bytes = written(items).finish();
      const whole = [...new ArchiveRecipe(bytes).items()];
      expect(whole).toEqual(items);
      for (let end = 0; end < bytes.length; end++) {
        const part = items.slice(0, countOf(bytes.subarray(0, end)));
        const isWhole = written(part).finish().length === end;
        if (isWhole) expect(read(bytes.subarray(0, end)).items).toHaveLength(part.length);
        else expect(() => read(bytes.subarray(0, end))).toThrow(WireError);
      }
    }),
    seeded(20) as fc.Parameters<[{ length: number; id: Uint8Array<ArrayBuffer> | undefined }[]]>,
  );
});

/** Of items that are there as a whole. */
function countOf(bytes: Uint8Array): number {
  let [at, count] = [0, 0];
  for (;;) {
    const isLiteral = (bytes[at] ?? 0) >= 0x80;
    at += isLiteral ? 4 : 4 + pieceIdBytes;
    if (at > bytes.length) return count;
    count += 1;
  }
}

test("any bytes are a recipe or a WireError", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        expect(read(bytes).items.length).toBeGreaterThanOrEqual(0);
      } catch (error) {
        expect(error).toBeInstanceOf(WireError);
      }
    }),
    seeded(500) as fc.Parameters<[Uint8Array<ArrayBuffer>]>,
  );
});

test("a recipe with more items than there may be is not finished, and not taken", () => {
  const writer = new RecipeWriter();
  for (let count = 0; count < limits.recipeItemsMax; count++) writer.literal(1);
  expect(writer.isFull).toBe(false);
  const most = writer.finish().slice();
  expect(new ArchiveRecipe(most).tarBytes).toBe(limits.recipeItemsMax);
  writer.piece(1, new Uint8Array(pieceIdBytes));
  expect(writer.isFull).toBe(true);
  expect(() => new ArchiveRecipe(Buffer.concat([most, most.subarray(0, 4)]))).toThrow(WireError);
});

test("a set of pieces has those that were put in, and is about as many as the recipe has", () => {
  const set = PieceSet.none(11);
  for (const index of [0, 2, 9]) set.add(index);
  expect(Buffer.from(set.bytes).toString("hex")).toBe("0502");
  const read11 = PieceSet.decode(set.bytes, 11);
  const found = Array.from({ length: 11 }, (_, index) => index).filter((index) =>
    read11.has(index),
  );
  expect(found).toEqual([0, 2, 9]);
  expect(() => PieceSet.decode(set.bytes, 17)).toThrow(WireError);
  expect(() => PieceSet.decode(set.bytes, 8)).toThrow(WireError);
});
