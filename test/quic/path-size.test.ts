import { expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import type { ByteStream } from "../../src/protocol/byte-stream.ts";
import { childEnv } from "../../src/system/child-env.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import { LooseTalk } from "../../src/quic/loose-talk.ts";
import { PathSize, probedBytes } from "../../src/quic/path-size.ts";
import { UdpNative } from "../../src/quic/udp-native.ts";
import { seed, seeded } from "../support/seed.ts";
import { UdpRelay } from "../support/udp-relay.ts";
import { openPair, type Pair } from "./pair.ts";
import { exchange } from "./transfer.ts";

const { datagramBytesBase: base, datagramBytesLoopback: loopback } = quicLimits;
const {
  searchSentBytes,
  searchRounds,
  searchRoundMs,
  searchPauseMs,
  searchPauseMsMax,
  confirmedMs,
} = quicLimits;
const rttMs = (): number => 1;

test("nothing is tried until there is much to send, then every size, the largest first", () => {
  const size = new PathSize(loopback);
  size.noteSent(searchSentBytes - 1, 5);
  expect(size.dueMs).toBe(Number.POSITIVE_INFINITY);
  expect(size.probes(5, rttMs)).toEqual([]);
  size.noteSent(1, 7);
  expect(size.dueMs).toBe(7);
  expect(size.probes(6, rttMs)).toEqual([]);
  expect(size.probes(7, rttMs).map(probedBytes)).toEqual([16_200, 1452, 1372, 1300]);
  expect(size.datagramBytes).toBe(base);
});

test.each([
  [base, []],
  [1350, [1350, 1300]],
  [1452, [1452, 1372, 1300]],
  [8000, [8000, 1452, 1372, 1300]],
])("with %p bytes at most, %p are tried", (largest, expected) => {
  const size = new PathSize(largest);
  size.noteSent(searchSentBytes, 0);
  expect(size.probes(0, rttMs).map(probedBytes)).toEqual(expected);
});

test("the largest that arrives counts, in whatever order the replies come", () => {
  const size = new PathSize(1452);
  const [, wireguard = 0n, edge = 0n] = begin(size, 0);
  size.noteCarried(wireguard, 1);
  size.noteCarried(edge, 2);
  expect(size.datagramBytes).toBe(1372);
  // The largest may only be lost: it is tried again, and with it what is in use.
  expect(size.probes(searchRoundMs, rttMs).map(probedBytes)).toEqual([1452, 1372]);
});

test("once the largest has arrived it is confirmed from time to time, while there is much to send", () => {
  const size = new PathSize(1452);
  found(size, 0);
  expect(size.dueMs).toBe(Number.POSITIVE_INFINITY);
  size.noteSent(searchSentBytes, searchPauseMs - 1);
  // Nor will a timer wake those who have nothing more to send.
  expect(size.dueMs).toBe(Number.POSITIVE_INFINITY);
  size.noteSent(1, searchPauseMs);
  expect(size.probes(searchPauseMs, rttMs).map(probedBytes)).toEqual([1452]);
});

test("a size that nobody confirms is given up, and tried again ever more rarely", () => {
  const size = new PathSize(1452);
  found(size, 0);
  size.check(1000);
  let nowMs = searchUnanswered(size, 1000);
  expect(size.datagramBytes).toBe(base);
  const pausesMs: number[] = [];
  for (let search = 0; search < 8; search++) {
    const endMs = nowMs;
    while (size.dueMs === Number.POSITIVE_INFINITY) {
      nowMs += searchPauseMs;
      size.noteSent(searchSentBytes, nowMs);
    }
    pausesMs.push(nowMs - endMs);
    nowMs = searchUnanswered(size, nowMs);
  }
  expect(pausesMs.slice(0, 3)).toEqual([2 * searchPauseMs, 4 * searchPauseMs, 8 * searchPauseMs]);
  expect(pausesMs.at(-1)).toBe(searchPauseMsMax);
});

test("rounds are three round trips apart where that is more", () => {
  const size = new PathSize(1452);
  size.noteSent(searchSentBytes, 0);
  size.probes(0, () => 200);
  expect(size.dueMs).toBe(600);
});

test("what seems stuck is no reason to probe while datagrams have the base size, or a search is on", () => {
  const size = new PathSize(1452);
  size.check(0);
  expect(size.dueMs).toBe(Number.POSITIVE_INFINITY);
  found(size, 0);
  size.check(50);
  size.probes(50, rttMs);
  size.check(60);
  expect(size.dueMs).toBe(50 + searchRoundMs);
});

test("a loss casts doubt on the size in use alone, once it was not confirmed for a while", () => {
  const size = new PathSize(1452);
  const [, wireguard = 0n] = begin(size, 0);
  size.noteCarried(wireguard, 0);
  while (size.dueMs !== Number.POSITIVE_INFINITY) size.probes(size.dueMs, rttMs);
  expect(size.datagramBytes).toBe(1372);
  size.noteLost(confirmedMs - 1);
  expect(size.dueMs).toBe(Number.POSITIVE_INFINITY);
  size.noteLost(confirmedMs);
  const [number = 0n, ...others] = size.probes(confirmedMs, rttMs);
  expect([number, ...others].map(probedBytes)).toEqual([1372]);
  size.noteCarried(number, confirmedMs);
  expect([size.datagramBytes, size.dueMs]).toEqual([1372, Number.POSITIVE_INFINITY]);
  size.noteLost(2 * confirmedMs);
  searchUnanswered(size, 2 * confirmedMs);
  expect(size.datagramBytes).toBe(base);
});

test("however often the size in use is confirmed, larger ones are tried in their time", () => {
  const size = new PathSize(1452);
  const [, wireguard = 0n] = begin(size, 0);
  size.noteCarried(wireguard, 0);
  while (size.dueMs !== Number.POSITIVE_INFINITY) size.probes(size.dueMs, rttMs);
  size.noteSent(searchSentBytes, 1000);
  for (let nowMs = 1000; nowMs <= searchPauseMs; nowMs += 1000) {
    size.check(nowMs);
    for (const number of size.probes(nowMs, rttMs)) size.noteCarried(number, nowMs);
  }
  size.noteSent(1, searchPauseMs + 1000);
  const probed = size.probes(searchPauseMs + 1000, rttMs);
  expect(probed.map(probedBytes)).toEqual([1452, 1372]);
});

test("a path that may be another one carries the base size, whatever replies are still under way", () => {
  const size = new PathSize(1452);
  const [largest = 0n] = begin(size, 0);
  size.forget();
  size.noteCarried(largest, 1);
  expect(size.datagramBytes).toBe(base);
  const [again = 0n] = begin(size, searchPauseMs);
  size.noteCarried(largest, searchPauseMs);
  expect(size.datagramBytes).toBe(base);
  size.noteCarried(again, searchPauseMs);
  expect(size.datagramBytes).toBe(1452);
});

test("what was not found on one path is no reason to wait on another", () => {
  const size = new PathSize(1452);
  size.noteSent(searchSentBytes, 0);
  const nowMs = searchUnanswered(size, 0);
  size.forget();
  size.noteSent(searchSentBytes - 1, nowMs);
  expect(size.dueMs).toBe(Number.POSITIVE_INFINITY);
  size.noteSent(1, nowMs);
  expect(size.dueMs).toBe(nowMs);
  searchUnanswered(size, nowMs);
  size.noteSent(searchSentBytes, nowMs + 2 * searchPauseMs + 1000);
  expect(size.dueMs).toBeLessThan(Number.POSITIVE_INFINITY);
});

test("a peer's own number changes nothing, even with the count of a probe", () => {
  const count = fc.oneof(fc.bigInt(0n, 4n), fc.bigInt(0n, 2n ** 48n - 1n));
  const property = fc.property(count, fc.nat({ max: 65_535 }), (probe, bytes) => {
    const size = new PathSize(1452);
    const number = (probe << 16n) | BigInt(bytes);
    fc.pre(!begin(size, 0).includes(number));
    size.noteCarried(number, 1);
    expect(size.datagramBytes).toBe(base);
  });
  fc.assert(property, seeded(500));
});

test("a probe fills the datagram that its number names, and no other length or ending is one", () => {
  const sent: Uint8Array[] = [];
  const [client, server] = talkers(sent);
  const number = (7n << 16n) | 1372n;
  client.probe(number, { host: "192.0.2.1", port: 1 });
  const [probe = new Uint8Array()] = sent;
  expect(probe.byteLength).toBe(1372);
  expect(server.open(probe)?.word).toBe("probes");
  // Not even its own sender takes it for one of the peer's.
  expect(client.open(probe)).toBeNull();
  expect(server.open(probe.subarray(0, 1300))).toBeNull();
  expect(server.open(Buffer.concat([probe, new Uint8Array(1)]))).toBeNull();
  // Of the number, of its tag, of the end.
  for (const at of [28, 44, 1371]) expect(server.open(changed(probe, at))).toBeNull();
});

test("a path in the middle that carries 1400 bytes: packets have 1372, and all arrives", async () => {
  const sizes = { forwarded: 0, probed: 0 };
  await using relayed = await relayedPair(1400, (bytes) => {
    if (bytes > 1400) sizes.probed = Math.max(sizes.probed, bytes);
    else sizes.forwarded = Math.max(sizes.forwarded, bytes);
  });
  await exchange(relayed.pair, 1024 * 1024, seed);
  expect(sizes).toEqual({ forwarded: 1372, probed: loopback });
  expect(relayed.pair.near.stats().datagramBytes).toBe(1372);
  expect(relayed.pair.far.stats().datagramBytes).toBe(1372);
});

test("a path that becomes narrow without a word stops a transfer for a moment, not for good", async () => {
  await using relayed = await relayedPair(65_507);
  await exchange(relayed.pair, 1024 * 1024, seed);
  expect(relayed.pair.near.stats().datagramBytes).toBe(loopback);
  relayed.relay.set({ datagramBytesMax: 1250 });
  await exchange(relayed.pair, 1024 * 1024, seed);
  expect(relayed.pair.near.stats().datagramBytes).toBe(base);
  expect(relayed.pair.far.stats().datagramBytes).toBe(base);
}, 120_000);

test("small packets that go through do not hide that no large one does", async () => {
  let aheadMs = 0;
  const nowMs = (): number => performance.now() + aheadMs;
  await using relayed = await relayedPair(1500, undefined, nowMs);
  const { pair, relay } = relayed;
  await exchange(pair, 1024 * 1024, seed);
  const [keys, echoes] = await openStream(pair);
  const [screen, page] = await openStream(pair);
  // Nothing is under way, and the size was not confirmed for a while.
  await Bun.sleep(100);
  aheadMs = confirmedMs;
  relay.set({ datagramBytesMax: 1250 });
  const read = new AbortController();
  const typing = (async () => {
    while (!read.signal.aborted) {
      await keys.write(Uint8Array.of(1));
      await echoes.write((await echoes.read()) ?? new Uint8Array());
      await keys.read();
    }
  })();
  await page.write(new Uint8Array(5000));
  for (let bytes = 0; bytes < 5000;) bytes += (await screen.read())?.byteLength ?? 5000;
  read.abort();
  await typing;
  expect(pair.far.stats().datagramBytes).toBe(base);
}, 120_000);

test("a client with a new socket begins anew", async () => {
  await using pair = await openPair();
  await exchange(pair, 1024 * 1024, seed);
  expect(pair.near.stats().datagramBytes).toBe(loopback);
  await pair.client.rebind();
  expect(pair.near.stats().datagramBytes).toBe(base);
  // The machine's end begins anew when it has followed.
  while (pair.far.remoteAddress.port !== pair.client.address.port) await exchange(pair, 1000, seed);
  expect(pair.far.stats().datagramBytes).toBe(base);
});

test("what the kernel does not promise to send whole is not sent", () => {
  const descriptor = openSync("/dev/null", "r");
  let sent = 0;
  new UdpNative(descriptor, 4).whole(() => (sent += 1));
  new UdpNative(descriptor, 6).whole(() => (sent += 1));
  closeSync(descriptor);
  expect(sent).toBe(0);
});

test("an interface of 1400 bytes: none is cut up, probes neither", async () => {
  const child = fileURLToPath(new URL("path-size.child.ts", import.meta.url));
  const network = 'ip link set lo mtu 1400 up && exec "$@"';
  const run = Bun.spawn(
    ["unshare", "--net", "--", "sh", "-c", network, "network", process.execPath, child],
    {
      env: childEnv({ PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` }),
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  expect(JSON.parse(await run.stdout.text())).toEqual({ near: 1372, far: 1372, fragments: 0 });
  expect(await run.exited).toBe(0);
});

function begin(size: PathSize, nowMs: number): readonly bigint[] {
  size.noteSent(searchSentBytes, nowMs);
  return size.probes(Math.max(nowMs, size.dueMs), rttMs);
}

function found(size: PathSize, nowMs: number): void {
  const [largest = 0n] = begin(size, nowMs);
  size.noteCarried(largest, nowMs);
}

/** Gives the time of its end. */
function searchUnanswered(size: PathSize, fromMs: number): number {
  let nowMs = fromMs;
  for (let round = 0; round < searchRounds; round++) {
    expect(size.probes(nowMs, rttMs).length).toBeGreaterThan(0);
    nowMs = size.dueMs;
  }
  expect(size.probes(nowMs, rttMs)).toEqual([]);
  return nowMs;
}

function talkers(sent: Uint8Array[]): [LooseTalk, LooseTalk] {
  const common = {
    key: new Uint8Array(32).fill(3),
    receiverId: () => new Uint8Array(20).fill(9),
    send: (datagram: Uint8Array) => void sent.push(datagram),
  };
  return [
    new LooseTalk({ ...common, side: "client" }),
    new LooseTalk({ ...common, side: "server" }),
  ];
}

function changed(datagram: Uint8Array, at: number): Uint8Array {
  const copy = datagram.slice();
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

/** The client's end and the machine's, each with one byte read. */
async function openStream({ near, far }: Pair): Promise<readonly [ByteStream, ByteStream]> {
  const ours = await near.openStream();
  await ours.write(Uint8Array.of(0));
  const theirs = await far.acceptStream();
  if (theirs === null) throw new Error("The connection ended");
  await theirs.read();
  return [ours, theirs];
}

async function relayedPair(
  datagramBytesMax: number,
  sees?: (bytes: number) => void,
  nowMs = (): number => performance.now(),
) {
  const stack = new AsyncDisposableStack();
  const relays: UdpRelay[] = [];
  const pair = await openPair({
    server: { nowMs },
    through: async (server) => {
      const relay = await UdpRelay.open(server, {
        seed,
        datagramBytesMax,
        onDatagram: (_, { byteLength }) => sees?.(byteLength),
      });
      relays.push(relay);
      return relay.address;
    },
  });
  const [relay] = relays;
  if (relay === undefined) throw new Error("No relay was opened");
  stack.use(relay);
  stack.use(pair);
  return { pair, relay, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
