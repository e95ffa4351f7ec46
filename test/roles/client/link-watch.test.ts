import { expect, test } from "bun:test";
import { clientLimits } from "../../../src/roles/client/limits.ts";
import { LinkWatch } from "../../../src/roles/client/link-watch.ts";

const step = clientLimits.watchEveryMs;

/** One look every half second: how many packets went out and came in since the last. */
function watch(steps: readonly (readonly [number, number])[], jumpAt = -1): string[] {
  const link = new LinkWatch();
  let [sent, received, wall, monotonic] = [0, 0, 1e12, 0];
  return steps.map(([out, back], index) => {
    sent += out;
    received += back;
    wall += step + (index === jumpAt ? 60_000 : 0);
    monotonic += step;
    return link.observe({
      sentPackets: sent,
      receivedPackets: received,
      wallMs: wall,
      monotonicMs: monotonic,
    });
  });
}

const repeat = (count: number, value: readonly [number, number]) =>
  Array.from({ length: count }, () => value);

test("silence of both sides is fine for ever", () => {
  expect(new Set(watch(repeat(500, [0, 0])))).toEqual(new Set(["fine"]));
});

test("answers keep it fine, however one-sided", () => {
  expect(new Set(watch(repeat(100, [50, 1])))).toEqual(new Set(["fine"]));
});

test("sending without an answer is a new socket after 3 s and dead after 6 s", () => {
  const verdicts = watch([[1, 1], ...repeat(16, [1, 0] as const)]);
  expect(verdicts.indexOf("rebind") * step).toBe(clientLimits.quietRebindMs + step);
  expect(verdicts.filter((verdict) => verdict === "rebind")).toHaveLength(1);
  expect(verdicts.indexOf("dead") * step).toBe(clientLimits.quietDeadMs + step);
});

test("an answer in between begins anew", () => {
  const verdicts = watch([...repeat(9, [1, 0] as const), [1, 1], ...repeat(9, [1, 0] as const)]);
  expect(verdicts).not.toContain("dead");
});

test("a clock that jumps is a sleep: a new socket at once", () => {
  expect(watch(repeat(5, [0, 0]), 3)).toEqual(["fine", "fine", "fine", "rebind", "fine"]);
});
