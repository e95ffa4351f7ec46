import { expect, test } from "bun:test";
import { EchoClock } from "../../../bench/peers/echo-clock.ts";

test("each letter is timed from when it was typed, several under way", () => {
  const clock = new EchoClock();
  expect([clock.type(0), clock.type(10), clock.type(20)]).toEqual(["a", "b", "c"]);
  clock.seen("a", 100);
  clock.seen("bc", 110);
  expect(clock.delaysMs).toEqual([100, 100, 90]);
  expect(clock.waiting).toBe(0);
});

test("what was not typed, or is not its turn, does not count", () => {
  const clock = new EchoClock();
  clock.type(0);
  clock.type(0);
  clock.seen("b\r\n$ 7", 5);
  expect(clock.waiting).toBe(2);
  clock.seen("xaxb", 9);
  expect(clock.delaysMs).toEqual([9, 9]);
});
