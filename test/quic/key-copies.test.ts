import { expect, test } from "bun:test";
import { KeyCopies } from "../../src/quic/key-copies.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import { openLine, serverPort } from "./memory-line.ts";

const { copyEveryMs, copies, copiedBytesMax, copiedMax, lossyMs } = quicLimits;
const key = new Uint8Array(60).fill(7);

/** On a line that has just lost a packet. */
function lossy(): KeyCopies {
  const made = new KeyCopies();
  made.noteLost(1, 0);
  made.noteFlush(0);
  return made;
}

/** From a slot with room behind it, as the connection does. */
function send(made: KeyCopies, datagram: Uint8Array, nowMs: number): void {
  const slot = new Uint8Array(1200);
  slot.set(datagram);
  made.noteSent(slot, datagram.byteLength, nowMs);
}

function drain(made: KeyCopies): number[] {
  const times: number[] = [];
  for (; made.dueMs < Number.POSITIVE_INFINITY && times.length < 10; times.push(made.dueMs)) {
    expect(made.take(made.dueMs - 1)).toBeNull();
    if (made.take(made.dueMs) === null) break;
  }
  return times;
}

test("KeyCopies: a small datagram with something new is repeated so many times, and nothing else is", () => {
  const made = lossy();
  made.noteFlush(1);
  send(made, key, 100);
  expect(made.dueMs).toBe(100 + copyEveryMs);
  // An acknowledgement in between is none, and does not stop it.
  made.noteFlush(1);
  send(made, key.subarray(1), 105);
  for (let count = 1; count <= copies; count++)
    expect(made.take(100 + count * copyEveryMs)).toEqual(key);
  expect(made.dueMs).toBe(Number.POSITIVE_INFINITY);
});

test("KeyCopies: what was lost is repeated with copies too", () => {
  const made = lossy();
  made.noteLost(2, 10);
  made.noteFlush(0);
  send(made, key, 10);
  expect(made.take(10 + copyEveryMs)).toEqual(key);
  made.noteFlush(0);
  send(made, key.subarray(1), 10);
  expect(made.take(10 + 2 * copyEveryMs)).toEqual(key);
  expect(made.dueMs).toBe(Number.POSITIVE_INFINITY);
});

test("KeyCopies: bulk has none", () => {
  const made = lossy();
  made.noteFlush(1);
  send(made, new Uint8Array(copiedBytesMax + 1), 0);
  expect(drain(made)).toEqual([]);
  made.noteFlush(2);
  send(made, key, 0);
  send(made, key, 0);
  expect(drain(made)).toEqual([]);
});

test("KeyCopies: none without a loss lately", () => {
  const clean = new KeyCopies();
  clean.noteLost(0, 0);
  clean.noteFlush(1);
  send(clean, key, 0);
  expect(drain(clean)).toEqual([]);
  const made = lossy();
  made.noteLost(1, lossyMs);
  made.noteFlush(6);
  send(made, key, lossyMs);
  expect(drain(made)).toEqual([]);
});

test("KeyCopies keeps the last few, each with its own times", () => {
  const made = lossy();
  for (let count = 1; count <= copiedMax + 1; count++) {
    made.noteFlush(count);
    send(made, Uint8Array.of(count), count);
  }
  const taken: number[] = [];
  for (let nowMs = 1; nowMs < 100; nowMs++)
    for (let copy = made.take(nowMs); copy !== null; copy = made.take(nowMs))
      taken.push(1000 * nowMs + (copy[0] ?? 0));
  const kept = Array.from({ length: copiedMax }, (_, index) => index + 2);
  const times = [copyEveryMs, 2 * copyEveryMs];
  expect(taken).toEqual(times.flatMap((after) => kept.map((at) => 1000 * (at + after) + at)));
});

test("where packets were lost, a key arrives by any of its copies, and once", async () => {
  // So long that quiche sends no probe of its own before the copies, where the computer is slow.
  const delayMs = 100;
  await using stage = await openLine({}, delayMs);
  const { line, ends, pair } = stage;
  const near = await ends.client.openStream();
  await near.write(Uint8Array.of(1));
  const far = await ends.server.acceptStream();
  if (far === null) throw new Error("No stream");
  await far.read();
  line.isDark = true;
  await near.write(Uint8Array.of(2));
  await Bun.sleep(20);
  line.isDark = false;
  expect(await far.read()).toEqual(Uint8Array.of(2));
  while (pair.near.stats().lostPackets === 0) await Bun.sleep(5);
  // A loss is taken note of with the next packet that is heard.
  const { receivedPackets } = pair.near.stats();
  await near.write(Uint8Array.of(2));
  await far.read();
  while (pair.near.stats().receivedPackets === receivedPackets) await Bun.sleep(5);
  await Bun.sleep(5 * delayMs);

  line.isDark = true;
  const mark = line.sent.length;
  await near.write(Uint8Array.of(3));
  const sent = async (): Promise<number> => (
    await Bun.sleep(5),
    line.sentBy("client", mark).length
  );
  while ((await sent()) <= copies);
  const [first, ...rest] = line.sentBy("client", mark).slice(0, copies + 1);
  if (first === undefined) throw new Error("Nothing was sent");
  for (const copy of rest) expect(copy).toEqual(first);
  const before = pair.far.stats().receivedPackets;
  for (const copy of rest) await line.deliver(copy, serverPort);
  expect(await far.read()).toEqual(Uint8Array.of(3));
  expect(pair.far.stats().receivedPackets).toBe(before + 1);
  line.isDark = false;
});
