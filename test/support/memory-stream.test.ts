import { expect, test } from "bun:test";
import { byteStreamContract } from "./byte-stream-contract.ts";
import { memoryPair } from "./memory-stream.ts";
import { rejection } from "./rejection.ts";
import { seededRandom } from "./seed.ts";

byteStreamContract("memoryPair", async () => memoryPair(), {
  bufferBytesMax: 256 * 1024,
  abortReadsAs: "code",
});

byteStreamContract(
  "memoryPair with cuts and stalls",
  async () => memoryPair({ random: seededRandom(3), bufferBytes: 20_000, stallChance: 0.3 }),
  { bufferBytesMax: 20_000, abortReadsAs: "code" },
);

test("cut fails both ends at once and loses what was on the way", async () => {
  const pair = memoryPair();
  await pair.near.write(Uint8Array.of(1));
  pair.cut();
  for (const attempt of [pair.near.read(), pair.far.read(), pair.far.write(Uint8Array.of(1))])
    expect(await rejection(attempt)).toMatchObject({ kind: "connection-lost" });
});

test("cutAfterBytes cuts by itself", async () => {
  const pair = memoryPair({ cutAfterBytes: 3 });
  await pair.near.write(Uint8Array.of(1, 2));
  expect(await pair.far.read()).toEqual(Uint8Array.of(1, 2));
  await pair.near.write(Uint8Array.of(3));
  expect(await pair.far.read()).toEqual(Uint8Array.of(3));
  expect(await rejection(pair.far.read())).toMatchObject({ kind: "connection-lost" });
});

test("the same seed cuts and stalls the same way", async () => {
  const first = await sliceLengths();
  expect(first.length).toBeGreaterThan(2);
  expect(await sliceLengths()).toEqual(first);
});

async function sliceLengths(): Promise<number[]> {
  const pair = memoryPair({ random: seededRandom(5), stallChance: 0.5 });
  await pair.near.write(new Uint8Array(5000));
  await pair.near.end();
  const seen: number[] = [];
  for (let slice = await pair.far.read(); slice !== null; slice = await pair.far.read())
    seen.push(slice.length);
  return seen;
}
