/**
 * A line between two interfaces: `bun bench/link/link.child.ts NEAR FAR`. It makes both, says so, and carries
 * packets from one to the other until its standard input ends. Each line of that is an order, and is answered.
 */
import { readSync, writeSync } from "node:fs";
import { ptr } from "bun:ffi";
import { Epoll, epollEvents } from "../../src/system/epoll.ts";
import { cStruct } from "../../src/system/libc.ts";
import { seededRandom } from "../../test/support/seed.ts";
import { LinkQueue, type LinkWeather } from "./link-queue.ts";
import { Tun } from "./tun.ts";

/** Of the line in both directions, from now on. */
export type LinkOrder =
  | ({ readonly kind: "weather"; readonly seed: number } & LinkWeather)
  | { readonly kind: "dark"; readonly forMs: number };

interface Way {
  readonly from: Tun;
  readonly to: Tun;
  readonly queue: LinkQueue;
  readonly address: number;
}

const slotBytes = 2048;
/** What is on its way at 100 MB/s and 100 ms. */
const slots = 8192;
/** Then the other direction has its turn. */
const burst = 64;

if (import.meta.main) carry();

function carry(): void {
  const [near, far] = [new Tun(process.argv[2] ?? ""), new Tun(process.argv[3] ?? "")];
  let random = seededRandom(1);
  const memory = [cStruct(slots * slotBytes), cStruct(slots * slotBytes)];
  const queues = memory.map(() => new LinkQueue(slots, () => random()));
  const ways = queues.map((queue, at): Way => {
    const [from, to] = at === 0 ? [near, far] : [far, near];
    return { from, to, queue, address: Number(ptr(memory[at] ?? cStruct(1))) };
  });
  const obey = (order: LinkOrder): void => {
    if (order.kind === "weather") random = seededRandom(order.seed);
    for (const queue of queues) {
      if (order.kind === "weather") queue.set(order);
      else queue.darken(performance.now() + order.forMs);
    }
  };
  const epoll = new Epoll(4);
  for (const fd of [0, near.fd, far.fd]) epoll.add(fd, epollEvents.readable);
  say();
  for (;;) {
    const waitMs = Math.min(1000, ...queues.map((queue) => queue.waitMs(performance.now())));
    const ready = epoll.wait(waitMs);
    for (let at = 0; at < ready; at++) if (epoll.descriptorAt(at) === 0 && !takeOrder(obey)) return;
    for (const way of ways) takeIn(way);
    for (const way of ways) sendOn(way);
  }
}

function takeIn({ from, queue, address }: Way): void {
  for (let count = 0; count < burst; count++) {
    const bytes = from.read(address + queue.freeSlot * slotBytes, slotBytes);
    if (bytes === 0) return;
    queue.accept(bytes, performance.now());
  }
}

function sendOn({ to, queue, address }: Way): void {
  const nowMs = performance.now();
  for (let slot = queue.dueSlot(nowMs); slot !== undefined; slot = queue.dueSlot(nowMs)) {
    to.write(address + slot * slotBytes, queue.bytesAt(slot));
    queue.leave();
  }
}

/** False at the end of the orders. One line comes at a time: the next is sent after the answer. */
function takeOrder(obey: (order: LinkOrder) => void): boolean {
  const line = new Uint8Array(1024);
  const bytes = readSync(0, line);
  if (bytes === 0) return false;
  obey(JSON.parse(new TextDecoder().decode(line.subarray(0, bytes))) as LinkOrder);
  say();
  return true;
}

function say(): void {
  writeSync(1, "ok\n");
}
