import { expect, test } from "bun:test";
import { interleave } from "../../../bench/harness/rounds.ts";

const words = { what: "it", peer: "peer", metric: "ms", unit: "ms", better: "lower" } as const;

test("subjects take turns, every other round in the opposite order", async () => {
  const turns: string[] = [];
  const turn = (name: string) => async () => ({ ms: turns.push(name) });
  await interleave(3, { ours: turn("a"), peer: turn("b"), other: turn("c") });
  expect(turns.join("")).toBe("abccbaabc");
});

test("a comparison has the values of each round", async () => {
  let clock = 0;
  const samples = await interleave(2, {
    ours: async () => ({ ms: ++clock, mb: 5 }),
    peer: async () => ({ ms: ++clock }),
  });
  const { ours, peer } = samples.compare(words);
  expect(ours).toEqual([1, 4]);
  expect(peer).toEqual({ name: "peer", values: [2, 3] });
  expect(samples.values("ours", "mb")).toEqual([5, 5]);
});

test("what is not installed is named, and nothing is measured of it", async () => {
  const samples = await interleave(1, { ours: async () => ({ ms: 1 }), peer: null });
  expect(samples.compare(words).peer).toEqual({ name: "peer", missing: "not installed" });
});
