import { expect, test } from "bun:test";
import { zstdCompressSync } from "node:zlib";
import { WireError } from "../../../src/protocol/errors.ts";
import { limits } from "../../../src/protocol/limits.ts";
import {
  batchHeaderBytes,
  batchLength,
  PieceBatch,
  unpackBatch,
} from "../../../src/system/archive/piece-batch.ts";
import { randomBytes, seed, seededRandom } from "../../support/seed.ts";

const noise = randomBytes(seededRandom(seed), limits.batchBytesMax);

function packed(bytes: Uint8Array): Uint8Array {
  const batch = new PieceBatch();
  batch.add(bytes);
  return batch.pack();
}

test.each([
  ["a byte", noise.subarray(0, 1)],
  ["zeros", new Uint8Array(300_000)],
  ["as much as fits, of what does not get smaller", noise],
])("a batch of %s is packed and unpacked, and packed again is the same", (_, bytes) => {
  const whole = packed(bytes);
  expect(batchLength(whole.subarray(0, batchHeaderBytes))).toBe(whole.length - batchHeaderBytes);
  expect(unpackBatch(whole.subarray(batchHeaderBytes))).toEqual(Buffer.from(bytes));
  expect(packed(bytes)).toEqual(whole);
});

test("a batch that was packed is empty, and says what has no room in it", () => {
  const batch = new PieceBatch();
  batch.add(noise.subarray(0, limits.batchBytesMax - 10));
  expect([batch.isFullFor(10), batch.isFullFor(11)]).toEqual([false, true]);
  batch.pack();
  expect(batch.length).toBe(0);
});

test.each([
  ["a bomb", zstdCompressSync(new Uint8Array(limits.batchBytesMax + 1))],
  ["a bomb of 128 MiB", zstdCompressSync(new Uint8Array(2 ** 27))],
  ["noise", noise.subarray(0, 1000)],
  ["nothing", zstdCompressSync(new Uint8Array(0))],
])("what unpacks to %s is refused", (_, bytes) => {
  expect(() => unpackBatch(bytes)).toThrow(WireError);
});

test.each([0, limits.batchBytesMax * 2, 2 ** 32 - 1])("a length of %d is refused", (length) => {
  const header = new Uint8Array(batchHeaderBytes);
  new DataView(header.buffer).setUint32(0, length);
  expect(() => batchLength(header)).toThrow(WireError);
});
