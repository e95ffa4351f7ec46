import { expect, test } from "bun:test";
import { limits } from "../../../src/protocol/limits.ts";
import { ContentPieces, pieceId } from "../../../src/system/archive/content-pieces.ts";
import { randomBytes, seed, seededRandom } from "../../support/seed.ts";

function piecesOf(pieces: ContentPieces, bytes: Uint8Array, sliceBytes: number) {
  const found: { length: number; id: Uint8Array }[] = [];
  for (let at = 0; at < bytes.length; at += sliceBytes)
    found.push(...pieces.push(bytes.subarray(at, at + sliceBytes)));
  const last = pieces.end();
  return last === undefined ? found : [...found, last];
}

const noise = randomBytes(seededRandom(seed), 1_500_000);

test("pieces do not depend on slices nor on the content before, and are named by what is in them", () => {
  const pieces = new ContentPieces();
  const whole = piecesOf(pieces, noise, noise.length);
  expect(whole.length).toBeGreaterThan(8);
  for (const sliceBytes of [1009, 65_536, 262_144])
    expect(piecesOf(pieces, noise, sliceBytes)).toEqual(whole);
  let at = 0;
  for (const { length, id } of whole) {
    expect(length).toBeLessThanOrEqual(limits.pieceBytesMax);
    expect(id).toEqual(pieceId(noise.subarray(at, at + length)));
    at += length;
  }
  expect(at).toBe(noise.length);
});

test("what changes in the middle of a content changes the pieces around it alone", () => {
  const changed = Buffer.concat([
    noise.subarray(0, 700_000),
    Buffer.from("new"),
    noise.subarray(700_001),
  ]);
  const known = new Set(piecesOf(new ContentPieces(), noise, noise.length).map(hexId));
  const others = piecesOf(new ContentPieces(), changed, 4096).filter(
    (one) => !known.has(hexId(one)),
  );
  expect(others.length).toBeGreaterThan(0);
  expect(others.length).toBeLessThanOrEqual(3);
});

test("an empty content has no piece", () => {
  expect(new ContentPieces().end()).toBeUndefined();
});

function hexId({ id }: { readonly id: Uint8Array }): string {
  return Buffer.from(id).toString("hex");
}
