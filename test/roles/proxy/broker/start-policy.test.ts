import { expect, test } from "bun:test";
import { brokerLimits } from "../../../../src/roles/proxy/broker/broker-limits.ts";
import { StartPolicy } from "../../../../src/roles/proxy/broker/start-policy.ts";

const a = "148e21ea7e46e8";
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

function startAndStop(policy: StartPolicy, nowMs: number): string {
  const { kind } = policy.ask(a, nowMs);
  if (kind === "go") policy.succeeded(a);
  return kind;
}

test("one start of a machine at a time, and ten seconds between two", () => {
  const policy = new StartPolicy();
  expect(policy.ask(a, 0)).toEqual({ kind: "go" });
  expect(policy.ask(a, 60_000)).toEqual({ kind: "under-way" });
  expect(policy.inFlight).toBe(1);
  policy.succeeded(a);
  expect(policy.inFlight).toBe(0);
  expect(startAndStop(policy, 60_000)).toBe("go");
  expect(policy.ask(a, 69_999)).toEqual({ kind: "too-soon", retryMs: 1, afterFailure: false });
  expect(startAndStop(policy, 70_000)).toBe("go");
});

test("after failures the pause doubles up to five minutes, and a success ends that", () => {
  const policy = new StartPolicy();
  let nowMs = 0;
  const pauses: number[] = [];
  for (let failure = 0; failure < 7; failure++) {
    expect(policy.ask(a, nowMs)).toEqual({ kind: "go" });
    const pauseMs = policy.failed(a, nowMs);
    pauses.push(pauseMs / 1000);
    const verdict = policy.ask(a, nowMs + pauseMs - 1);
    expect(verdict).toEqual({ kind: "too-soon", retryMs: 1, afterFailure: true });
    nowMs += pauseMs;
  }
  expect(pauses).toEqual([10, 20, 40, 80, 160, 300, 300]);
  expect(startAndStop(policy, nowMs)).toBe("go");
  expect(policy.ask(a, nowMs + 10_000)).toEqual({ kind: "go" });
  expect(policy.failed(a, nowMs + 10_000)).toBe(10_000);
});

test("at most 20 starts of a machine an hour, then it rests until the first is an hour old", () => {
  const policy = new StartPolicy();
  for (let start = 0; start < brokerLimits.startsPerHourPerMachineMax; start++)
    expect(startAndStop(policy, start * minuteMs)).toBe("go");
  expect(policy.ask(a, 30 * minuteMs)).toEqual({ kind: "resting", retryMs: 30 * minuteMs });
  expect(startAndStop(policy, 60 * minuteMs)).toBe("go");
  expect(policy.ask(a, 60 * minuteMs + 20_000).kind).toBe("resting");
});

test("at most 100 starts of a machine a day", () => {
  const policy = new StartPolicy();
  const max = brokerLimits.startsPerDayPerMachineMax;
  for (let start = 0; start < max; start++)
    expect(startAndStop(policy, start * 10 * minuteMs)).toBe("go");
  const nowMs = max * 10 * minuteMs;
  expect(policy.ask(a, nowMs)).toEqual({ kind: "resting", retryMs: 24 * hourMs - nowMs });
  expect(startAndStop(policy, 24 * hourMs)).toBe("go");
});

test("at most 30 starts a minute of all machines together", () => {
  const policy = new StartPolicy();
  for (let machine = 0; machine < brokerLimits.startsPerMinuteMax; machine++)
    expect(policy.ask(`machine ${machine}`, machine * 1000)).toEqual({ kind: "go" });
  expect(policy.ask(a, 40_000)).toEqual({ kind: "busy", retryMs: 20_000 });
  expect(policy.ask(a, 60_000)).toEqual({ kind: "go" });
});

test("starts that never end are limited, too", () => {
  const policy = new StartPolicy();
  for (let machine = 0; machine < brokerLimits.startsInFlightMax; machine++)
    expect(policy.ask(`machine ${machine}`, machine * 3000)).toEqual({ kind: "go" });
  const verdict = policy.ask(a, 10 * hourMs);
  expect(verdict).toEqual({ kind: "busy", retryMs: brokerLimits.startPauseMs });
  policy.failed("machine 3", 10 * hourMs);
  expect(policy.ask(a, 10 * hourMs)).toEqual({ kind: "go" });
});

test("machines that were started are forgotten after a day, so that there is room for others", () => {
  const policy = new StartPolicy();
  const everyMs = minuteMs / brokerLimits.startsPerMinuteMax;
  for (let machine = 0; machine < brokerLimits.startsRememberedMax; machine++) {
    expect(policy.ask(`machine ${machine}`, machine * everyMs)).toEqual({ kind: "go" });
    policy.succeeded(`machine ${machine}`);
  }
  const nowMs = brokerLimits.startsRememberedMax * everyMs;
  expect(policy.ask(a, nowMs).kind).toBe("busy");
  expect(policy.ask("machine 1", nowMs)).toEqual({ kind: "go" });
  expect(policy.ask(a, 24 * hourMs + 1)).toEqual({ kind: "go" });
});

test("an end that nobody began changes nothing", () => {
  const policy = new StartPolicy();
  policy.succeeded(a);
  expect(policy.failed(a, 0)).toBe(brokerLimits.startPauseMs);
  expect(policy.inFlight).toBe(0);
});
