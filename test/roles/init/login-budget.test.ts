import { describe, expect, test } from "bun:test";
import { MintBudget, type MintTurn } from "../../../src/roles/init/login-budget.ts";
import { limits } from "../../../src/protocol/limits.ts";
import { loginLimits } from "../../../src/roles/init/login-limits.ts";

/** The real figures, twenty times as fast. */
const scale = 20;
const fast = {
  ...loginLimits,
  mintEveryMs: loginLimits.mintEveryMs / scale,
  mintWaitMs: loginLimits.mintWaitMs / scale,
};
const never = new Promise<void>(() => undefined);

function newBudget(): MintBudget {
  return new MintBudget(() => performance.now(), fast);
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
    const startMs = performance.now();
    const order: number[] = [];
    const times: number[] = [];
    const take = async (index: number): Promise<void> => {
      expect(await budget.take(never)).toEqual({ kind: "granted" });
      order.push(index);
      times.push(performance.now() - startMs);
    };
    await Promise.all(Array.from({ length: 6 }, (_, index) => take(index)));
    expect(order).toEqual([0, 1, 2, 3, 4, 5]);
    expect(times[2]).toBeLessThan(fast.mintEveryMs);
    expect(times[3]).toBeGreaterThan(fast.mintEveryMs - 5);
    expect(times[5]).toBeGreaterThan(3 * fast.mintEveryMs - 5);
  });

  test("queues eight, who all have their turn in time, and tells the ninth when to come", async () => {
    const budget = newBudget();
    for (let index = 0; index < 3; index += 1) await budget.take(never);
    const turns = Array.from({ length: 9 }, () => budget.take(never));
    const ninth = await turns[8];
    expect(ninth?.kind).toBe("busy");
    // Eight are before it.
    expect(ninth?.kind === "busy" ? ninth.retryAfterMs : 0).toBeGreaterThan(8 * fast.mintEveryMs);
    const kinds = (await Promise.all(turns)).map((turn: MintTurn) => turn.kind);
    expect(kinds).toEqual([...Array<"granted">(8).fill("granted"), "busy"]);
  });

  test("keeps nobody longer than they may wait", async () => {
    const budget = newBudget();
    for (let index = 0; index < 3; index += 1) await budget.take(never);
    const startMs = performance.now();
    expect((await budget.take(never, fast.mintEveryMs / 5)).kind).toBe("busy");
    expect((await budget.take(never, 0)).kind).toBe("busy");
    expect(performance.now() - startMs).toBeLessThan(fast.mintEveryMs / 2);
    expect((await budget.take(never)).kind).toBe("granted");
  });

  test("the last of the queue has its turn while its client still waits for evidence", () => {
    const lastMs = loginLimits.mintQueueMax * loginLimits.mintEveryMs;
    expect(loginLimits.mintWaitMs).toBeGreaterThan(lastMs);
    expect(loginLimits.mintWaitMs).toBeLessThan(limits.evidenceWaitMs - 1000);
  });

  test("gives the place of one that has gone to the next", async () => {
    const budget = newBudget();
    for (let index = 0; index < 3; index += 1) await budget.take(never);
    const gone = Promise.withResolvers<void>();
    const first = budget.take(gone.promise);
    const second = budget.take(never);
    const startMs = performance.now();
    gone.resolve();
    expect(await first).toEqual({ kind: "gone" });
    expect(await second).toEqual({ kind: "granted" });
    expect(performance.now() - startMs).toBeLessThan(1.8 * fast.mintEveryMs);
  });

  test("is whole again after a quiet time, and no more than whole", async () => {
    const budget = newBudget();
    for (let index = 0; index < 3; index += 1) await budget.take(never);
    await Bun.sleep(5 * fast.mintEveryMs);
    const startMs = performance.now();
    for (let index = 0; index < 3; index += 1) await budget.take(never);
    expect(performance.now() - startMs).toBeLessThan(fast.mintEveryMs / 2);
    await budget.take(never);
    expect(performance.now() - startMs).toBeGreaterThan(fast.mintEveryMs - 5);
  });

  test("never grants more than its rate over any stretch", async () => {
    const budget = newBudget();
    const granted: number[] = [];
    const client = async (delayMs: number): Promise<void> => {
      await Bun.sleep(delayMs);
      if ((await budget.take(never)).kind === "granted") granted.push(performance.now());
    };
    await Promise.all(Array.from({ length: 40 }, (_, index) => client(index * 15)));
    for (let index = 3; index < granted.length; index += 1) {
      const stretchMs = (granted[index] ?? 0) - (granted[index - 3] ?? 0);
      expect(stretchMs).toBeGreaterThan(fast.mintEveryMs - 8);
    }
    expect(granted.length).toBeGreaterThan(10);
  });
});
