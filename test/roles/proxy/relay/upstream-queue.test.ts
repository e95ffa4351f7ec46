import { expect, test } from "bun:test";
import { proxyLimits } from "../../../../src/roles/proxy/limits.ts";
import { UpstreamQueue } from "../../../../src/roles/proxy/relay/upstream-queue.ts";

test("the oldest of too many go, and each is counted", () => {
  const queued = { total: 0 };
  const queue = new UpstreamQueue(queued);
  const most = proxyLimits.upstreamQueueMax;
  const lost = Array.from({ length: most + 2 }, (_, index) => queue.push(datagram(index, 10)));
  expect(lost.reduce((sum, count) => sum + count)).toBe(2);
  expect([queue.length, queue.first?.[0], queued.total]).toEqual([most, 2, most * 10]);
  queue.clear();
  expect([queue.length, queued.total]).toEqual([0, 0]);
});

test("all queues together hold so many bytes", () => {
  const queued = { total: 0 };
  const big = datagram(1, 65_000);
  const queues = Array.from({ length: 100 }, () => new UpstreamQueue(queued));
  const lost = queues.reduce((sum, queue) => sum + queue.push(big), 0);
  expect(lost).toBe(100 - Math.floor(proxyLimits.upstreamQueuesBytesMax / 65_000));
  expect(queued.total).toBeLessThanOrEqual(proxyLimits.upstreamQueuesBytesMax);
});

function datagram(first: number, bytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes).fill(first);
}
