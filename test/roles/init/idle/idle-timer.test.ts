import { expect, test } from "bun:test";
import fc from "fast-check";
import { IdleTimer } from "../../../../src/roles/init/idle/idle-timer.ts";
import { seeded } from "../../../support/seed.ts";

interface Event {
  readonly waitMs: number;
  readonly isActive: boolean;
}
type Run = [number, number, Event[]];

const runs = fc.tuple(
  fc.integer({ min: 2, max: 5000 }),
  fc.integer({ min: 1, max: 5000 }),
  fc.array(fc.record({ waitMs: fc.nat(3000), isActive: fc.boolean() }), { maxLength: 60 }),
);

test("it stops after so long without anything, never sooner, and never unwarned", () => {
  fc.assert(
    fc.property(runs, ([stopAfterMs, warnMs, events]) => {
      const timer = new IdleTimer(stopAfterMs, warnMs, 0);
      const noticeMs = Math.min(warnMs, stopAfterMs / 2);
      let nowMs = 0;
      let activeMs = 0;
      let warnedMs: number | undefined;
      for (const { waitMs, isActive } of events) {
        nowMs += waitMs;
        if (isActive && nowMs > activeMs) {
          expect(timer.active(nowMs)).toBe(warnedMs !== undefined && warnedMs < nowMs);
          if (warnedMs !== undefined && warnedMs < nowMs) warnedMs = undefined;
          activeMs = nowMs;
        }
        expect(timer.idleMs(nowMs)).toBe(nowMs - activeMs);
        const step = timer.step(nowMs);
        if (step.kind === "warn") {
          expect(warnedMs).toBeUndefined();
          expect(stopAfterMs - (nowMs - activeMs)).toBeLessThanOrEqual(noticeMs);
          expect(step.stopInMs).toBe(Math.max(noticeMs, stopAfterMs - (nowMs - activeMs)));
          warnedMs = nowMs;
        }
        const isOver = nowMs - activeMs >= stopAfterMs;
        const isWarned = warnedMs !== undefined && nowMs - warnedMs >= noticeMs;
        expect(step.kind === "stop").toBe(isOver && isWarned);
        if (step.kind === "stop") return;
      }
    }),
    seeded(500) as fc.Parameters<[Run]>,
  );
});

test("one that is looked at all the time stops to the second", () => {
  const timer = new IdleTimer(60_000, 5000, 0);
  const seen: string[] = [];
  for (let nowMs = 0; nowMs <= 100_000; nowMs += 1000) {
    if (nowMs === 30_000) timer.active(nowMs);
    const { kind } = timer.step(nowMs);
    if (kind !== "wait") seen.push(`${kind} ${nowMs}`);
    if (kind === "stop") break;
  }
  expect(seen).toEqual(["warn 85000", "stop 90000"]);
});

test("what happened before the last thing changes nothing", () => {
  const timer = new IdleTimer(1000, 100, 0);
  timer.active(500);
  expect(timer.active(200)).toBeFalse();
  expect(timer.idleMs(600)).toBe(100);
});
