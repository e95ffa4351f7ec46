import { expect, test } from "bun:test";
import type { ByteStream } from "../../src/protocol/byte-stream.ts";
import { ConnectionClosed } from "../../src/quic/connection.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import { SendBatch } from "../../src/quic/send-batch.ts";
import { openUdp } from "../../src/quic/udp-carrier.ts";
import { seed } from "../support/seed.ts";
import { UdpRelay } from "../support/udp-relay.ts";
import { loopback, openClient, openPair, openPairOver, type Pair } from "./pair.ts";
import { exchange } from "./transfer.ts";

/** What one peer does, or suffers, is not felt by another on the same server. */

const mebibyte = 1024 * 1024;

async function second(pair: Pair, through = pair.server.address): Promise<Pair> {
  const client = await openClient();
  const [near, far] = await Promise.all([client.connect(through), pair.server.accept()]);
  if (far === null) throw new Error("The server endpoint closed");
  return { ...pair, client, near, far, [Symbol.asyncDispose]: () => client.close() };
}

async function exchangeMs(pair: Pair, bytes: number): Promise<number> {
  const start = performance.now();
  await exchange(pair, bytes, seed);
  return performance.now() - start;
}

test("a black-holed connection in the middle of a download slows no other", async () => {
  await using healthy = await openPair();
  await using relay = await UdpRelay.open(healthy.server.address, {});
  await using dark = await second(healthy, relay.address);
  await exchange(healthy, 8 * mebibyte, seed);
  await exchange(dark, 8 * mebibyte, seed);
  const before = await exchangeMs(healthy, 32 * mebibyte);
  const stream = await dark.near.openStream();
  await stream.write(Uint8Array.of(1));
  const far = await dark.far.acceptStream();
  relay.blackHole(60_000);
  const writing = far?.write(new Uint8Array(16 * mebibyte)).catch((error: unknown) => error);
  await Bun.sleep(100);
  expect(await exchangeMs(healthy, 32 * mebibyte)).toBeLessThan(5 * before + 5000);
  dark.far.close(0, "");
  expect(await writing).toMatchObject({ kind: "connection-lost" });
}, 120_000);

test("streams that nobody reads hold one initial window together, and hurt no other", async () => {
  await using greedy = await openPair();
  await using healthy = await second(greedy);
  let taken = 0;
  const fill = async (stream: ByteStream): Promise<void> => {
    for (;;) {
      await stream.write(new Uint8Array(1024));
      taken += 1024;
    }
  };
  for (let count = 0; count < quicLimits.streamsFromClient; count++) {
    const near = await greedy.near.openStream();
    await near.write(Uint8Array.of(1));
    const far = await greedy.far.acceptStream();
    if (far !== null) void fill(far).catch(() => undefined);
  }
  await Bun.sleep(100);
  expect(taken).toBeLessThanOrEqual(quicLimits.connectionWindowInitial);
  await exchange(healthy, 4 * mebibyte, seed);
}, 120_000);

test("a connection that ends lets go of everything that waits on it", async () => {
  await using pair = await openPair();
  const near = await pair.near.openStream();
  await near.write(Uint8Array.of(1));
  const far = await pair.far.acceptStream();
  if (far === null) throw new Error("No stream");
  await far.read();
  const other = await pair.far.openStream();
  const openers = Array.from({ length: 20 }, () => pair.far.openStream());
  const waits = [
    far.read(),
    far.write(new Uint8Array(mebibyte)),
    far.end(),
    other.read(),
    other.write(new Uint8Array(mebibyte)),
    other.end(),
    ...openers.slice(quicLimits.streamsFromServer),
  ].map((wait) =>
    wait.then(
      () => "went on",
      (error: unknown) => error,
    ),
  );
  const accepting = pair.far.acceptStream();
  for (const opener of openers) void opener.catch(() => undefined);
  await Bun.sleep(20);
  pair.near.close(0, "");
  for (const end of await Promise.all(waits)) expect(end).toBeInstanceOf(Error);
  expect(await accepting).toBeNull();
  for (const stream of [far, other]) {
    expect(await stream.read().catch((error: unknown) => error)).toBeInstanceOf(Error);
    expect(await stream.write(new Uint8Array(1)).catch((error: unknown) => error)).toBeInstanceOf(
      Error,
    );
    expect(await stream.end().catch((error: unknown) => error)).toBeInstanceOf(Error);
    stream.abort(1);
  }
  expect(await pair.far.openStream().catch((error: unknown) => error)).toBeInstanceOf(
    ConnectionClosed,
  );
});

test("a client whose address changes every 100 ms still gets its bytes through", async () => {
  await using pair = await openPairOver({ delayMs: 5, seed });
  const { relay } = pair;
  // Not before it is there: in the middle of a handshake QUIC knows no change of address.
  const changing = setInterval(() => void relay.rebind(), 100);
  while (relay.counts.rebinds < 8) await exchange(pair, mebibyte, seed);
  clearInterval(changing);
}, 120_000);

test("100 000 packets with a genuine id and forged contents neither end nor starve a connection", async () => {
  let genuine: Uint8Array | undefined;
  await using pair = await openPairOver({
    onDatagram: (direction, datagram) => {
      if (direction === "to-server" && ((datagram[0] ?? 0) & 0x80) === 0)
        genuine ??= datagram.slice();
    },
  });
  await using neighbour = await second(pair);
  await exchange(pair, 100_000, seed);
  if (genuine === undefined) throw new Error("Nothing was seen");
  let answered = 0;
  const attacker = await openUdp(loopback, () => answered++);
  const batch = new SendBatch();
  const forged = new Uint8Array(1200);
  let slowestMs = 0;
  for (let sent = 0; sent < 100_000; sent += 500) {
    for (let count = 0; count < 500; count++) {
      crypto.getRandomValues(forged.subarray(21, 60));
      forged.set(genuine.subarray(0, 21));
      batch.load(
        forged.subarray(0, count % 2 === 0 ? 45 : 1200),
        pair.server.address.host,
        pair.server.address.port,
      );
      attacker.send(batch);
    }
    slowestMs = Math.max(slowestMs, await exchangeMs(neighbour, 10_000));
  }
  expect(slowestMs).toBeLessThan(10_000);
  expect(answered).toBe(0);
  await exchange(pair, 100_000, seed);
  attacker.close();
}, 120_000);
