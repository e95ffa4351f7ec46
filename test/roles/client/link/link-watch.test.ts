import { expect, test } from "bun:test";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import { LinkWatch } from "../../../../src/roles/client/link/link-watch.ts";

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

test("a silence of both sides is broken four times, after doubling waits, and then left to keepalive", () => {
  const verdicts = watch(repeat(500, [0, 0]));
  const probes = verdicts.flatMap((verdict, index) => (verdict === "probe" ? [index * step] : []));
  expect(probes).toEqual([1000, 2000, 4000, 8000]);
  expect(new Set(verdicts)).toEqual(new Set(["fine", "probe"]));
});

test("an answer to a probe does not begin them anew, traffic does", () => {
  const answered = repeat(40, [0, 0] as const).map((quiet, index) =>
    index === 3 ? ([1, 1] as const) : quiet,
  );
  expect(watch(answered).filter((verdict) => verdict === "probe")).toHaveLength(4);
  const busy = repeat(40, [0, 0] as const).map((quiet, index) =>
    index === 20 ? ([9, 9] as const) : quiet,
  );
  expect(watch(busy).filter((verdict) => verdict === "probe").length).toBeGreaterThan(4);
});

test("answers keep it fine, however one-sided", () => {
  expect(new Set(watch(repeat(100, [50, 1] as const)))).toEqual(new Set(["fine"]));
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
  expect(watch(repeat(2, [0, 0]), 1)).toEqual(["fine", "rebind"]);
});

function sample(at: number, receivedPackets: number) {
  const [wallMs, monotonicMs] = [1e12 + at * step, at * step];
  return { sentPackets: 10 + at, receivedPackets, wallMs, monotonicMs };
}

/** Looks after a move, given what comes in by then; the first is a moment after it. */
function watchMoved(received: readonly number[]): string[] {
  const link = new LinkWatch();
  link.observe(sample(0, 1));
  // What came over the old socket until just now is no answer over the new one.
  link.moved(sample(1, 5));
  return received.map((packets, index) => link.observe(sample(2 + index, packets)));
}

test("a socket that was replaced is to bring an answer in 3 s, and is not replaced again", () => {
  const verdicts = watchMoved(Array.from({ length: 8 }, () => 5));
  expect((verdicts.indexOf("dead") + 1) * step).toBe(clientLimits.moveAnswerMs);
  expect(verdicts).not.toContain("rebind");
  const answered = watchMoved([5, 6, ...Array.from({ length: 8 }, () => 6)]);
  expect(answered).not.toContain("dead");
});
