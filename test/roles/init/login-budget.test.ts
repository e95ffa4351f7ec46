import { afterEach, beforeEach, describe, expect, jest, test } from "bun:test";
import { MintBudget, type MintTurn } from "../../../src/roles/init/login-budget.ts";
import { limits } from "../../../src/protocol/limits.ts";
import { loginLimits } from "../../../src/roles/init/login-limits.ts";

const { mintEveryMs, mintBurst, mintQueueMax } = loginLimits;
const never = new Promise<void>(() => undefined);

/** Time goes on when a test says so. */
let nowMs = 0;
beforeEach(() => {
  jest.useFakeTimers();
  nowMs = 0;
});
afterEach(() => {
  jest.useRealTimers();
});

async function pass(ms: number): Promise<void> {
  await turns();
  for (const endMs = nowMs + ms; nowMs < endMs; await turns()) {
    nowMs += stepMs;
    jest.advanceTimersByTime(stepMs);
  }
}

/** Whoever has something to do does it. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
}

const stepMs = 10;

function newBudget(): MintBudget {
  return new MintBudget(() => nowMs);
}

/** With the first three calls made. */
async function spentBudget(): Promise<MintBudget> {
  const budget = newBudget();
  for (let index = 0; index < mintBurst; index += 1)
    expect(await budget.take(never)).toEqual({ kind: "granted" });
  return budget;
}

/** What became of it, and when; without a kind while it waits. */
function watched(turn: Promise<MintTurn>): { kind?: string; atMs?: number } {
  const seen: { kind?: string; atMs?: number } = {};
  void turn.then(({ kind }) => Object.assign(seen, { kind, atMs: nowMs }));
  return seen;
}

test("the figures are those of Fly: one a second, three at once", () => {
  expect(loginLimits).toMatchObject({
    mintEveryMs: 1000,
    mintBurst: 3,
    mintQueueMax: 8,
    mintWaitMs: 8500,
  });
});

describe("MintBudget", () => {
  test("lets three go at once, then one at a time, in the order they came", async () => {
    const budget = newBudget();
    const all = Array.from({ length: 6 }, () => watched(budget.take(never)));
    await pass(3 * mintEveryMs);
    const times = [0, 0, 0, 1, 2, 3].map((turn) => turn * mintEveryMs);
    expect(all).toEqual(times.map((atMs) => ({ kind: "granted", atMs })));
  });

  test("queues eight, who all have their turn in time, and tells the ninth when to come", async () => {
    const budget = await spentBudget();
    const queued = Array.from({ length: mintQueueMax }, () => watched(budget.take(never)));
    // Eight are before it.
    expect(await budget.take(never)).toEqual({ kind: "busy", retryAfterMs: 9 * mintEveryMs });
    await pass(mintQueueMax * mintEveryMs);
    expect(queued.map(({ kind }) => kind)).toEqual(Array(mintQueueMax).fill("granted"));
  });

  test("keeps nobody longer than they may wait", async () => {
    const budget = await spentBudget();
    const short = watched(budget.take(never, mintEveryMs / 5));
    expect(await budget.take(never, 0)).toMatchObject({ kind: "busy" });
    const long = watched(budget.take(never));
    await pass(mintEveryMs);
    expect(short).toEqual({ kind: "busy", atMs: mintEveryMs / 5 });
    expect(long).toEqual({ kind: "granted", atMs: mintEveryMs });
  });

  test("the last of the queue has its turn while its client still waits for evidence", () => {
    const lastMs = loginLimits.mintQueueMax * loginLimits.mintEveryMs;
    expect(loginLimits.mintWaitMs).toBeGreaterThan(lastMs);
    expect(loginLimits.mintWaitMs).toBeLessThan(limits.evidenceWaitMs - 1000);
  });

  test("gives the place of one that has gone to the next", async () => {
    const budget = await spentBudget();
    const gone = Promise.withResolvers<void>();
    const first = watched(budget.take(gone.promise));
    const second = watched(budget.take(never));
    gone.resolve();
    await pass(mintEveryMs);
    expect(first).toEqual({ kind: "gone", atMs: 0 });
    expect(second).toEqual({ kind: "granted", atMs: mintEveryMs });
  });

  test("is whole again after a quiet time, and no more than whole", async () => {
    const budget = await spentBudget();
    await pass(5 * mintEveryMs);
    const all = Array.from({ length: 4 }, () => watched(budget.take(never)));
    await pass(mintEveryMs);
    expect(all.map(({ atMs = 0 }) => atMs / mintEveryMs)).toEqual([5, 5, 5, 6]);
  });

  test("never grants more than its rate over any stretch", async () => {
    const budget = newBudget();
    const clients: { kind?: string; atMs?: number }[] = [];
    for (let index = 0; index < 40; index += 1) {
      clients.push(watched(budget.take(never)));
      await pass(300);
    }
    await pass(mintQueueMax * mintEveryMs);
    const granted = clients.filter(({ kind }) => kind === "granted").map(({ atMs = 0 }) => atMs);
    for (let index = mintBurst; index < granted.length; index += 1)
      expect((granted[index] ?? 0) - (granted[index - mintBurst] ?? 0)).toBeGreaterThanOrEqual(
        mintEveryMs,
      );
    expect(granted.length).toBeGreaterThan(10);
    expect(granted.length).toBeLessThan(clients.length);
  });
});
