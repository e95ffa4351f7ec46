import { expect, test } from "bun:test";
import { rolloutLimits } from "../../../src/roles/admin/rollout-limits.ts";
import {
  RolloutScreen,
  type ScreenRow,
  screenText,
} from "../../../src/roles/admin/rollout-screen.ts";
import { parseRolloutNumbers } from "../../../src/roles/admin/update-image-options.ts";
import { memoryContext } from "../../support/memory-context.ts";

const row = (at: number, more: Partial<ScreenRow["tour"]> = {}): ScreenRow => ({
  target: { id: `m${at}`, tenant: `tenant-${at}`, region: "ord" },
  tour: { id: `m${at}`, goal: "new", step: "soak", parked: false, ...more },
  sinceMs: 1_000,
});
const size = { columns: 60, rows: 50, nowMs: 13_000 };

test("a row for each machine at work, with what is done for it and for how long", () => {
  const rows = [
    row(1),
    row(2, { goal: "old", step: "update" }),
    row(3, { goal: "old", parked: true }),
  ];
  const lines = screenText(rows, "5 updated", { ...size, columns: 80 }).split("\n");
  expect(lines.map((line) => line.replaceAll(/ {2,}/g, " | "))).toEqual([
    "MACHINE | TENANT | REGION | STEP | FOR",
    "m1 | tenant-1 | ord | soaking | 12 s",
    "m2 | tenant-2 | ord | rolling back: updating | 12 s",
    "m3 | tenant-3 | ord | rolling back: waiting for its turn | 12 s",
    "5 updated",
    "",
  ]);
});

test("never more lines than the terminal has, nor wider ones", () => {
  const rows = Array.from({ length: 40 }, (_, at) => row(at, { goal: "old", parked: true }));
  const tall = screenText(rows, "5 updated", size).split("\n");
  expect(tall.length).toBe(rolloutLimits.tableRowsMax + 4);
  expect(tall.at(-3)).toBe("and 20 more");
  const low = screenText(rows, "5 updated", { ...size, rows: 10 }).split("\n");
  expect(low.length - 1).toBeLessThan(10);
  expect(Math.max(...tall.map((line) => line.length))).toBeLessThan(size.columns);
});

test("it is drawn anew while nothing happens, because time goes on, and not after its end", async () => {
  const context = memoryContext({ env: {}, tty: true });
  let drawn = 0;
  const screen = new RolloutScreen(context, () => `${++drawn}\n`);
  await Bun.sleep(rolloutLimits.drawAnywayMs + 2 * rolloutLimits.drawEveryMs + 200);
  expect(drawn).toBeGreaterThanOrEqual(1);
  await screen.close();
  const after = drawn;
  await Bun.sleep(rolloutLimits.drawAnywayMs + rolloutLimits.drawEveryMs);
  expect(drawn).toBe(after);
});

test("numbers have the defaults of the first fly-vault-admin, and a share is of the machines, at least one", () => {
  const none = {
    concurrency: undefined,
    canary: undefined,
    "max-unavailable": undefined,
    "soak-secs": undefined,
    "start-timeout-secs": undefined,
    "health-timeout-secs": undefined,
    "lease-ttl-secs": undefined,
    drain: undefined,
  };
  const { options, unavailableMax } = parseRolloutNumbers(none);
  expect(options).toEqual({
    concurrency: 4,
    canary: 1,
    soakMs: 20_000,
    startMs: 180_000,
    healthMs: 120_000,
    drainMs: 0,
    leaseSeconds: 120,
  });
  expect(unavailableMax(38)).toBe(38);
  const share = parseRolloutNumbers({ ...none, "max-unavailable": "10%" }).unavailableMax;
  expect([share(38), share(3)]).toEqual([3, 1]);
  expect(parseRolloutNumbers({ ...none, "max-unavailable": "2" }).unavailableMax(38)).toBe(2);
  for (const [name, value] of [
    ["canary", String(rolloutLimits.machinesMax + 1)],
    ["concurrency", String(rolloutLimits.concurrencyMax + 1)],
    ["soak-secs", String(rolloutLimits.secondsMax + 1)],
    ["lease-ttl-secs", String(rolloutLimits.leaseSecondsMax + 1)],
    ["start-timeout-secs", "1.5"],
    ["drain", "10"],
    ["drain", "25h"],
    ["max-unavailable", "10 %"],
  ] as const)
    expect(() => parseRolloutNumbers({ ...none, [name]: value })).toThrow(`--${name} "${value}"`);
});
