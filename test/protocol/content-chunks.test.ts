import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  averageBitsFor,
  averageBitsMax,
  averageBitsMin,
  ChunkCutter,
} from "../../src/protocol/content-chunks.ts";
import { seeded } from "../support/seed.ts";

/** Ends of chunks, with the content given in slices of those lengths. */
function cuts(bytes: Uint8Array, sliceBytes: number): number[] {
  const cutter = new ChunkCutter(averageBitsMin);
  const found: number[] = [];
  for (let at = 0; at < bytes.length; at += sliceBytes) {
    const slice = bytes.subarray(at, at + sliceBytes);
    for (let from = 0; from < slice.length;) {
      const cut = cutter.cut(slice, from);
      if (cut < 0) break;
      found.push(at + cut);
      from = cut;
    }
  }
  return found;
}

/** The same for every run: splitmix32. */
function noise(length: number, seed: number): Uint8Array {
  let state = seed | 0;
  return new Uint8Array(length).map(() => {
    state = (state + 0x9e3779b9) | 0;
    const mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    return (mixed ^ (mixed >>> 15)) & 0xff;
  });
}

test("chunks do not depend on how the content comes in", () => {
  const bytes = noise(400_000, 1);
  const whole = cuts(bytes, bytes.length);
  expect(whole.length).toBeGreaterThan(10);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 70_000 }), (sliceBytes) => {
      expect(cuts(bytes, sliceBytes)).toEqual(whole);
    }),
    seeded(20),
  );
});

test("the cuts are what they always were: both sides must agree", () => {
  expect(cuts(noise(200_000, 7), 200_000).slice(0, 5)).toMatchInlineSnapshot(`
    [
      12626,
      31010,
      57314,
      63169,
      93626,
    ]
  `);
});

test("chunks are as long as they may be", () => {
  fc.assert(
    fc.property(fc.integer(), fc.boolean(), (seed, zeros) => {
      const bytes = zeros ? new Uint8Array(300_000) : noise(300_000, seed);
      let last = 0;
      for (const cut of cuts(bytes, 50_000)) {
        expect(cut - last).toBeGreaterThan(2 ** averageBitsMin / 4);
        expect(cut - last).toBeLessThanOrEqual(2 ** averageBitsMin * 4);
        last = cut;
      }
    }),
    seeded(15),
  );
});

test("bytes put in or taken out change the chunks around them and no others", () => {
  const bytes = noise(1_000_000, 3);
  const before = keys(bytes);
  fc.assert(
    fc.property(
      fc.nat(900_000),
      fc.nat(500),
      fc.uint8Array({ maxLength: 500 }),
      (at, gone, put) => {
        const changed = Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + gone)]);
        const after = keys(changed);
        const lost = [...after].filter((key) => !before.has(key));
        expect(lost.length).toBeLessThan(8);
      },
    ),
    seeded(20),
  );
});

test("the larger the file the larger its chunks", () => {
  expect(averageBitsFor(0)).toBe(averageBitsMin);
  expect(averageBitsFor(4 * 2 ** 30)).toBe(17);
  expect(averageBitsFor(2 ** 50)).toBe(averageBitsMax);
});

function keys(content: Uint8Array): Set<string> {
  let last = 0;
  return new Set(
    cuts(content, content.length).map((cut) => {
      const chunk = content.subarray(last, cut);
      last = cut;
      return Bun.hash(chunk).toString();
    }),
  );
}
