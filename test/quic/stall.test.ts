import { expect, test } from "bun:test";
import type { ByteStream } from "../../src/protocol/byte-stream.ts";
import { Ballast, type BallastStream } from "../../src/quic/ballast.ts";
import type { Connection } from "../../src/quic/connection.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import { StallWatch } from "../../src/quic/stall-watch.ts";
import { seed } from "../support/seed.ts";
import { openPair, openPairOver } from "./pair.ts";
import { receiveAll, sendNoise } from "./transfer.ts";

/**
 * Several streams use up the connection's window together; all of it is read, and every grant of
 * more is lost on the way. quiche never repeats the one for the connection.
 */
test.each(["near", "far"] as const)(
  "grants that are all lost do not stop a connection of several streams: %s writes",
  async (writes) => {
    await using pair = await openPairOver({ seed });
    const { relay } = pair;
    const writer = pair[writes];
    const reader = writes === "near" ? pair.far : pair.near;
    const streams = await openStreams(pair.near, pair.far, 4);
    const { streamWindowInitial: each } = quicLimits;
    const sent = Promise.all(
      streams.map(async (ends) => sendNoise(ends[writer === pair.near ? 0 : 1], 4 * each, seed)),
    );
    await untilQuiet(reader);
    relay.blackHole(400);
    const received = Promise.all(
      streams.map(async (ends) => receiveAll(ends[reader === pair.near ? 0 : 1])),
    );
    const hashes = (await received).map(({ hash }) => hash);
    expect(hashes).toEqual(await sent);
  },
  20_000,
);

test("writers that a reader keeps waiting send nothing meanwhile", async () => {
  await using pair = await openPair();
  const streams = await openStreams(pair.near, pair.far, 3);
  const writing = streams.map(async ([near]) => sendNoise(near, 1_000_000, seed));
  await untilQuiet(pair.far);
  const before = pair.near.stats().sentPackets;
  await Bun.sleep(300);
  expect(pair.near.stats().sentPackets - before).toBeLessThan(10);
  await Promise.all(streams.map(async ([, far]) => receiveAll(far)));
  await Promise.all(writing);
});

test("StallWatch rings when nothing went for a while, ever more rarely, and not while all goes well", () => {
  const watch = new StallWatch();
  const { blockedMs, blockedMsMax } = quicLimits;
  watch.note(true, 10, 0, () => 1);
  expect(watch.dueMs).toBe(blockedMs);
  watch.note(true, 20, 150, () => 1);
  expect(watch.dueMs).toBe(150 + blockedMs);
  watch.note(true, 20, 200, () => 1);
  expect(watch.dueMs).toBe(150 + blockedMs);
  const pauses: number[] = [];
  for (let nowMs = watch.dueMs; pauses.length < 10; nowMs = watch.dueMs) {
    watch.ring(nowMs);
    pauses.push(watch.dueMs - nowMs);
  }
  expect(pauses.slice(0, 3)).toEqual([2 * blockedMs, 4 * blockedMs, 8 * blockedMs]);
  expect(pauses.at(-1)).toBe(blockedMsMax);
  watch.note(true, 30, 1e6, () => 500);
  expect(watch.dueMs).toBe(1e6 + 1500);
  watch.note(false, 30, 1e6, () => 500);
  expect(watch.dueMs).toBe(Number.POSITIVE_INFINITY);
});

test("ballast does not run out, however often a peer is blocked, and does not pile up", () => {
  const { ballastBytes } = quicLimits;
  const wire = { unread: 0, lost: 0, room: 1e6 };
  const quiche = {
    stats: () => ({ lost: wire.lost }) as ReturnType<BallastStream["stats"]>,
    streamRoom: () => wire.room,
    streamSend: (_: number, bytes: Uint8Array) => {
      wire.unread += bytes.length;
      return bytes.length;
    },
    streamReceive: (): [number, boolean] | null => (wire.unread-- > 0 ? [1, false] : null),
  };
  const [writer, reader] = [new Ballast(quiche), new Ballast(quiche)];
  writer.begin();
  expect(wire.unread).toBe(ballastBytes);
  const blocked = (): boolean => {
    wire.room = 0;
    writer.refill();
    const released = reader.release(writer.nextBlocked());
    // The writer has room again, or was never short of it for long.
    wire.room = 1;
    writer.refill();
    return released;
  };
  for (let round = 0; round < 3 * ballastBytes; round++) {
    wire.lost += 1;
    expect(blocked()).toBe(true);
  }
  expect(wire.unread).toBe(ballastBytes);
  for (let round = 0; round < 3 * ballastBytes; round++) blocked();
  expect(wire.unread).toBeLessThanOrEqual(2 * ballastBytes);
  expect(wire.unread).toBeGreaterThanOrEqual(ballastBytes);
});

async function openStreams(
  near: Connection,
  far: Connection,
  count: number,
): Promise<(readonly [ByteStream, ByteStream])[]> {
  const pairs: (readonly [ByteStream, ByteStream])[] = [];
  for (let index = 0; index < count; index++) {
    const stream = await near.openStream();
    await stream.write(Uint8Array.of(index));
    const accepted = await far.acceptStream();
    if (accepted === null) throw new Error("The connection ended");
    await accepted.read();
    pairs.push([stream, accepted]);
  }
  return pairs;
}

/** Until nothing has come in for a while: the writer is stopped by the window. */
async function untilQuiet(reader: Connection): Promise<void> {
  for (let before = -1; reader.stats().receivedBytes !== before; await Bun.sleep(100))
    before = reader.stats().receivedBytes;
}
