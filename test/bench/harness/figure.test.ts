import { expect, test } from "bun:test";
import { type Figure, ratioOf, verdictOf } from "../../../bench/harness/figure.ts";

const faster: Figure = {
  row: "stream",
  what: "pipe, up",
  unit: "MB/s",
  better: "higher",
  ours: [90, 100, 500],
  peer: { name: "ssh", values: [200, 150, 250] },
  goal: { of: "ratio", limit: 0.5 },
};

test("the ratio is that of the medians, ours over theirs", () => {
  expect(ratioOf(faster)).toBe(0.5);
});

test("a goal that is just reached is met, whichever way is better", () => {
  expect(verdictOf(faster)).toBe("met");
  expect(verdictOf({ ...faster, goal: { of: "ratio", limit: 0.51 } })).toBe("not met");
  expect(verdictOf({ ...faster, better: "lower" })).toBe("met");
  expect(verdictOf({ ...faster, better: "lower", goal: { of: "ratio", limit: 0.49 } })).toBe(
    "not met",
  );
});

test("a goal for our own value needs no peer, one for the ratio does", () => {
  const peer = { name: "ssh", missing: "not installed" };
  expect(verdictOf({ ...faster, peer })).toBe("skipped");
  expect(verdictOf({ ...faster, peer, goal: { of: "value", limit: 100 } })).toBe("met");
  expect(verdictOf({ ...faster, peer, goal: { of: "value", limit: 101 } })).toBe("not met");
});

test("without a goal there is no verdict", () => {
  const { goal: _, ...seen } = faster;
  expect(verdictOf(seen)).toBe("");
});
