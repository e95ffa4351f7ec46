import { expect, test } from "bun:test";
import fc from "fast-check";
import { LinkQueue } from "../../../bench/link/link-queue.ts";
import { seeded, seededRandom } from "../../support/seed.ts";

/** All that is due, as the bytes it was sent with. */
function take(queue: LinkQueue, nowMs: number): number[] {
  const taken: number[] = [];
  for (let slot = queue.dueSlot(nowMs); slot !== undefined; slot = queue.dueSlot(nowMs)) {
    taken.push(queue.bytesAt(slot));
    queue.leave();
  }
  return taken;
}

/** Which of 10 000 packets are lost with this seed, as a line of dots and crosses. */
function fates(seed: number): string {
  const queue = new LinkQueue(2, seededRandom(seed));
  queue.set({ delayMs: 0, loss: 0.05 });
  return Array.from({ length: 10_000 }, () => {
    const arrives = queue.accept(1, 0);
    take(queue, 0);
    return arrives ? "." : "x";
  }).join("");
}

test("a packet comes out after the delay, not before", () => {
  const queue = new LinkQueue(4, () => 0.5);
  queue.set({ delayMs: 25, loss: 0 });
  expect(queue.accept(100, 1000)).toBe(true);
  expect(queue.waitMs(1000)).toBe(25);
  expect(take(queue, 1024.9)).toEqual([]);
  expect(take(queue, 1025)).toEqual([100]);
  expect(queue.waitMs(1025)).toBe(Number.POSITIVE_INFINITY);
});

test("packets keep their order, also when the delay becomes shorter", () => {
  const queue = new LinkQueue(8, () => 0.5);
  queue.set({ delayMs: 50, loss: 0 });
  queue.accept(1, 0);
  queue.set({ delayMs: 0, loss: 0 });
  queue.accept(2, 10);
  expect(take(queue, 10)).toEqual([]);
  expect(take(queue, 50)).toEqual([1, 2]);
});

test("the same seed loses the same packets, about as many as it was told", () => {
  expect(fates(7)).toBe(fates(7));
  expect(fates(7)).not.toBe(fates(8));
  const count = fates(7).replaceAll(".", "").length;
  expect(count).toBeGreaterThan(400);
  expect(count).toBeLessThan(600);
});

test("in the dark all is lost, what was under way is not", () => {
  const queue = new LinkQueue(8, () => 0.5);
  queue.set({ delayMs: 20, loss: 0 });
  queue.accept(1, 0);
  queue.darken(100);
  expect(queue.accept(2, 10)).toBe(false);
  expect(queue.accept(3, 99)).toBe(false);
  expect(queue.accept(4, 100)).toBe(true);
  expect(take(queue, 120)).toEqual([1, 4]);
});

test("a full queue loses what comes, and one slot is always free", () => {
  const queue = new LinkQueue(3, () => 0.5);
  queue.set({ delayMs: 10, loss: 0 });
  expect([1, 2, 3].map((bytes) => queue.accept(bytes, 0))).toEqual([true, true, false]);
  expect(queue.counts.overflowed).toBe(1);
  expect(take(queue, 10)).toEqual([1, 2]);
});

test("a bottleneck sends one after the other, and loses what finds its queue full", () => {
  const queue = new LinkQueue(64, () => 0.5);
  queue.set({ delayMs: 10, loss: 0, bottleneck: { bytesPerMs: 100, queueMs: 20 } });
  expect([1000, 1000, 1000, 1000].map((bytes) => queue.accept(bytes, 0))).toEqual([
    true,
    true,
    true,
    false,
  ]);
  expect(take(queue, 20)).toEqual([1000]);
  expect(take(queue, 39)).toEqual([1000]);
  expect(queue.accept(500, 39)).toBe(true);
  expect(take(queue, 40)).toEqual([1000]);
  expect(take(queue, 53)).toEqual([]);
  expect(take(queue, 54)).toEqual([500]);
  expect(queue.counts.overflowed).toBe(1);
});

test("slots that are taken are never the free one, whatever comes and goes", () => {
  const step = fc.record({ bytes: fc.integer({ min: 1, max: 1500 }), passMs: fc.nat({ max: 9 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.integer(), (steps, seed) => {
      const queue = new LinkQueue(5, seededRandom(seed));
      queue.set({ delayMs: 12, loss: 0.1 });
      const [sent, received] = [[] as number[], [] as number[]];
      let nowMs = 0;
      for (const { bytes, passMs } of steps) {
        if (queue.accept(bytes, nowMs)) sent.push(bytes);
        nowMs += passMs;
        received.push(...take(queue, nowMs));
        expect(queue.freeSlot).toBeLessThan(5);
      }
      received.push(...take(queue, nowMs + 12));
      expect(received).toEqual(sent);
      const { passed, lost, overflowed } = queue.counts;
      expect(passed + lost + overflowed).toBe(steps.length);
    }),
    seeded(300),
  );
});
