import { expect, test } from "bun:test";
import { brokerLimits } from "../../../../src/roles/proxy/broker/broker-limits.ts";
import { RestartPace } from "../../../../src/roles/proxy/broker/restart-pace.ts";

test("the first restart comes within 100 ms, later ones up to 5 s apart", () => {
  const pace = new RestartPace();
  let nowMs = 0;
  const pauses: number[] = [];
  for (let restart = 0; restart < 10; restart++) {
    const pauseMs = pace.nextPause(0, nowMs);
    pauses.push(pauseMs);
    nowMs += pauseMs;
  }
  expect(pauses).toEqual([20, 40, 80, 160, 320, 640, 1280, 2560, 5000, 5000]);
});

test("one that lasted is started again at once", () => {
  const pace = new RestartPace();
  for (let restart = 0; restart < 8; restart++) pace.nextPause(0, restart * 5000);
  expect(pace.nextPause(brokerLimits.childHealthyMs, 100_000)).toBe(20);
});

test("never more than so many restarts a minute, however long each of them lasts", () => {
  const pace = new RestartPace();
  const restartsMs: number[] = [];
  let nowMs = 0;
  while (nowMs < 600_000) {
    // As if its clock said that it had lasted.
    nowMs += pace.nextPause(brokerLimits.childHealthyMs, nowMs);
    restartsMs.push(nowMs);
  }
  for (const startMs of restartsMs) {
    const within = restartsMs.filter((timeMs) => timeMs >= startMs && timeMs < startMs + 60_000);
    expect(within.length).toBeLessThanOrEqual(brokerLimits.childRestartsPerMinuteMax);
  }
});
