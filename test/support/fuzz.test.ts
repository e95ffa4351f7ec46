import { expect, test } from "bun:test";
import { type FuzzTarget, readRegressions, runFuzz, someSlices } from "./fuzz.ts";
import { mutate } from "./mutation.ts";
import { rejection } from "./rejection.ts";
import { seededRandom } from "./seed.ts";

/** What finds mistakes must not have any that hide them. */

const target: FuzzTarget = {
  name: "a target of this test",
  runs: 20_000,
  corpus: () => [new Uint8Array(12)],
  check: () => true,
};

test("the same seed gives the same inputs, another one others", async () => {
  expect(await digest(1)).toBe(await digest(1));
  expect(await digest(1)).not.toBe(await digest(2));
});

test.each([false, true])(
  "a failure is found, and its bytes are told (later: %p)",
  async (later) => {
    const error = await rejection(runFuzz({ ...target, check: later ? slow : check }, { seed: 3 }));
    const [what = "", hex = "", replay = ""] = error.message.split("\n");
    expect(what).toBe("a target of this test, FV_SEED=3: RangeError: 2^31");
    expect(hex).toContain("80000000");
    expect(replay).toContain("test/fuzz/regressions/a-target-of-this-test.hex");
    // Nothing is written where runs are counted.
    expect(readRegressions(target.name)).toEqual([]);
  },
);

test("the corpus comes first as it is, and damage does not reach it", async () => {
  const inputs: string[] = [];
  const note = (bytes: Uint8Array): unknown => inputs.push(Buffer.from(bytes).toString("latin1"));
  await runFuzz({ ...target, runs: 3000, epochRuns: 1000, corpus: twoTexts }, { seed: 4, note });
  for (const start of [0, 1000, 2000])
    expect(inputs.slice(start, start + 2)).toEqual(["first", "second"]);
  expect(new Set(inputs).size).toBeGreaterThan(1000);
});

test("stored failures are read, comments are not", () => {
  const [first] = readRegressions("boot reports");
  expect(Buffer.from(first ?? []).toString("latin1")).toStartWith('{"kind":"execute"');
});

test("every boundary comes up, in binary and in decimal", () => {
  const random = seededRandom(5);
  const corpus = [new Uint8Array(16).fill(0xaa), Buffer.from('{"rows":24,"cols":80}')];
  const seen = new Set<string>();
  for (let count = 0; count < 100_000; count++)
    seen.add(Buffer.from(mutate(random, corpus)).toString("latin1"));
  const all = [...seen].join("\n");
  for (const power of [7, 8, 15, 16, 31, 32, 53, 62, 63])
    expect(all.includes(`"cols":${2n ** BigInt(power)}}`)).toBe(true);
  expect(all.includes('"rows":18446744073709551615,')).toBe(true);
  for (const hex of ["80000000", "ffffffffffffffff", "0020000000000000"])
    expect(all.includes(Buffer.from(hex, "hex").toString("latin1"))).toBe(true);
});

test("slices are the bytes, cut at the same places each time", () => {
  const random = seededRandom(6);
  for (let count = 0; count < 1000; count++) {
    const bytes = mutate(random, [new Uint8Array(100).fill(1)]);
    const slices = someSlices(bytes);
    expect(Buffer.concat(slices).equals(bytes)).toBe(true);
    expect(someSlices(bytes)).toEqual(slices);
    expect(slices.every(({ length }) => length > 0)).toBe(true);
  }
});

async function digest(seed: number): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  const note = (bytes: Uint8Array): unknown => hash.update(`${bytes.length} `).update(bytes);
  expect(await runFuzz(target, { seed, note })).toMatchObject({ runs: 20_000, decoded: 20_000 });
  return hash.digest("hex");
}

function check(bytes: Uint8Array): boolean {
  if (Buffer.from(bytes).includes("80000000", "hex")) throw new RangeError("2^31");
  return true;
}

async function slow(bytes: Uint8Array): Promise<boolean> {
  await Promise.resolve();
  return check(bytes);
}

function twoTexts(): Uint8Array[] {
  return [Buffer.from("first"), Buffer.from("second")];
}
