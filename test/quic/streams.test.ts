import { expect, test } from "bun:test";
import { type ByteStream, StreamError } from "../../src/protocol/byte-stream.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import { rejection } from "../support/rejection.ts";
import { seed } from "../support/seed.ts";
import { openPair, type Pair } from "./pair.ts";
import { exchange, receiveAll, sendNoise } from "./transfer.ts";

async function openBoth(pair: Pair): Promise<readonly [ByteStream, ByteStream]> {
  const near = await pair.near.openStream();
  await near.write(Uint8Array.of(1));
  const far = await pair.far.acceptStream();
  if (far === null) throw new Error("No stream");
  await far.read();
  return [near, far];
}

const orders = [
  ["near", "far"],
  ["far", "near"],
] as const;

test.each(orders)("half-close: %p ends first, then %p", async (first) => {
  await using pair = await openPair();
  const [near, far] = await openBoth(pair);
  const [early, late] = first === "near" ? [near, far] : [far, near];
  await early.write(Buffer.from("early"));
  await early.end();
  expect((await receiveAll(late)).totalBytes).toBe(5);
  const sent = sendNoise(late, 300_000, seed);
  const got = await receiveAll(early);
  expect(got).toEqual({ hash: await sent, totalBytes: 300_000 });
  expect(await late.read()).toBeNull();
  await late.end();
});

test("half-close: both end at once, and an end after everything was acknowledged", async () => {
  await using pair = await openPair();
  const [near, far] = await openBoth(pair);
  await Promise.all([near.end(), far.end()]);
  expect(await near.read()).toBeNull();
  expect(await far.read()).toBeNull();
  const [one, other] = await openBoth(pair);
  await one.end();
  expect(await other.read()).toBeNull();
  await Bun.sleep(100);
  await other.end();
  expect(await one.read()).toBeNull();
});

test("a reset reaches the reader with its code, and the writer is told to stop", async () => {
  await using pair = await openPair();
  const [near, far] = await openBoth(pair);
  const reading = far.read();
  near.abort(77);
  const error = await reading.catch((reason) => reason);
  expect(error).toBeInstanceOf(StreamError);
  expect(error).toMatchObject({ kind: "reset", resetCode: 77 });
  const writeError = await far.write(new Uint8Array(10)).catch((reason) => reason);
  expect(writeError).toMatchObject({ kind: "stopped", resetCode: 77 });
  await exchange(pair, 1000, seed);
});

test("a reader that does not read holds 64 KiB, no more, and the writer waits", async () => {
  await using pair = await openPair();
  const near = await pair.near.openStream();
  let accepted = 0;
  const writing = (async () => {
    for (; accepted < 1024 * 1024; accepted += 1024) await near.write(new Uint8Array(1024));
  })();
  while (accepted <= quicLimits.streamWindowInitial - 2048) await Bun.sleep(5);
  await Bun.sleep(200);
  expect(accepted).toBeLessThanOrEqual(quicLimits.streamWindowInitial);
  const far = await pair.far.acceptStream();
  let read = 0;
  while (read < 1024 * 1024) read += (await far?.read())?.byteLength ?? 0;
  await writing;
});

test("a read gives what has arrived, up to 64 KiB", async () => {
  await using pair = await openPair();
  const [near, far] = await openBoth(pair);
  const readAll = async (bytes: number): Promise<number[]> => {
    const sizes: number[] = [];
    for (let total = 0; total < bytes; total += sizes.at(-1) ?? 0)
      sizes.push((await far.read())?.byteLength ?? fail());
    return sizes;
  };
  // The stream's window grows only as it is read.
  const first = 4 * 1024 * 1024;
  await Promise.all([near.write(new Uint8Array(first)), readAll(first)]);
  const whole = 3 * quicLimits.readBytesMax;
  const { receivedBytes } = pair.far.stats();
  const writing = near.write(new Uint8Array(whole));
  while (pair.far.stats().receivedBytes < receivedBytes + whole) await Bun.sleep(5);
  const sizes = await readAll(whole);
  await writing;
  expect(sizes[0]).toBe(quicLimits.readBytesMax);
  expect(Math.max(...sizes)).toBe(quicLimits.readBytesMax);
});

function fail(): never {
  throw new Error("The stream ended too early");
}

test("one blocked stream does not stop the others beyond the connection's window", async () => {
  await using pair = await openPair();
  // Grows the windows first, as any real use does.
  await exchange(pair, 16 * 1024 * 1024, seed);
  const blocked = await pair.near.openStream();
  void blocked.write(new Uint8Array(16 * 1024 * 1024)).catch(() => undefined);
  await pair.far.acceptStream();
  await Bun.sleep(100);
  await exchange(pair, 4 * 1024 * 1024, seed);
  blocked.abort(0);
});

test.each(["reader", "writer"] as const)(
  "what was not read of streams that their %s gave up costs the others no room",
  async (whoGivesUp) => {
    await using pair = await openPair();
    // Grows the windows first, as any real use does.
    await exchange(pair, 16 * 1024 * 1024, seed);
    const pieces = (2 * quicLimits.connectionWindowMax) / quicLimits.streamWindowInitial;
    for (let piece = 0; piece < pieces; piece++) {
      const [near, far] = await openBoth(pair);
      await far.write(new Uint8Array(quicLimits.streamWindowInitial - 1));
      // What was sent is there by now: a stream's bytes come in their order, and a connection's mostly.
      await exchange(pair, 1, seed);
      (whoGivesUp === "reader" ? near : far).abort(5);
      if (whoGivesUp === "reader") await far.write(Uint8Array.of(1)).catch(() => undefined);
      else {
        await exchange(pair, 1, seed);
        expect(await rejection(near.read())).toMatchObject({ kind: "reset", resetCode: 5 });
      }
    }
    await exchange(pair, 4 * 1024 * 1024, seed);
  },
);

test("the stream cap holds, and a finished stream makes room", async () => {
  await using pair = await openPair();
  const open: ByteStream[] = [];
  for (let count = 0; count < quicLimits.streamsFromClient; count++) {
    const stream = await pair.near.openStream();
    await stream.write(Uint8Array.of(1));
    open.push(stream);
  }
  let extra = false;
  const waiting = pair.near.openStream().then((stream) => {
    extra = true;
    return stream;
  });
  await Bun.sleep(50);
  expect(extra).toBe(false);
  for (let done = 0; done < quicLimits.streamsFromClient; done++) {
    const far = await pair.far.acceptStream();
    far?.abort(0);
    open[done]?.abort(0);
  }
  await waiting;
  expect(extra).toBe(true);
});

test("waiting openers are bounded", async () => {
  await using pair = await openPair();
  const limit = quicLimits.streamsFromClient + quicLimits.openWaitersMax;
  const all = Array.from({ length: limit }, () => pair.near.openStream());
  for (const opening of all) void opening.catch(() => undefined);
  expect(pair.near.openStream()).rejects.toThrow(RangeError);
});

test("300 streams at once share fairly: the slowest is not far behind the median", async () => {
  await using pair = await openPair();
  const size = 64 * 1024;
  // Of all that has arrived: unlike the time, it does not go on while the computer is busy elsewhere.
  let arrivedBytes = 0;
  const echo = (async () => {
    for (let count = 0; count < 300; count++) {
      const far = await pair.far.acceptStream();
      if (far !== null) void receiveAll(far).then(() => sendNoise(far, size, seed));
    }
  })();
  const ends = await Promise.all(
    Array.from({ length: 300 }, async () => {
      const near = await pair.near.openStream();
      await sendNoise(near, size, seed);
      const { totalBytes } = await receiveAll(near, ({ length }) => (arrivedBytes += length));
      expect(totalBytes).toBe(size);
      return arrivedBytes;
    }),
  );
  await echo;
  ends.sort((a, b) => a - b);
  const median = ends[150] ?? 0;
  expect(ends.at(-1) ?? 0).toBeLessThan(1.5 * median);
}, 120_000);
