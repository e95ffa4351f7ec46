import { afterAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { directConnectionIds } from "../../src/quic/connection-id.ts";
import { looseMessage } from "../../src/quic/loose-message.ts";
import { sealAdmission } from "../../src/quic/admission-header.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import { cutOf, datagramBytesOf } from "../../src/quic/merged-datagrams.ts";
import { SendBatch } from "../../src/quic/send-batch.ts";
import { openQuicUdp, openUdp } from "../../src/quic/udp-carrier.ts";
import { seeded } from "../support/seed.ts";

const id = directConnectionIds(Buffer.alloc(32, 1)).mint();
const loopback = { host: "127.0.0.1", port: 0 };

const datagramBytes = (block: Uint8Array): number => cutOf(block).datagramBytes;

function short(lengthBytes: number, to: Uint8Array = id): Buffer {
  return Buffer.concat([Uint8Array.of(0x43), to, randomBytes(lengthBytes - 21)]);
}

function long(lengthBytes: number, to: Uint8Array = id): Buffer {
  const head = Uint8Array.of(0xc3, 0, 0, 0, 1, to.byteLength);
  return Buffer.concat([head, to, randomBytes(lengthBytes - 6 - to.byteLength)]);
}

test("a block is cut where each of its datagrams begins", () => {
  const sizes = fc.record({
    lengthBytes: fc.integer({ min: 45, max: 1500 }),
    count: fc.integer({ min: 1, max: 40 }),
    lastBytes: fc.integer({ min: 30, max: 1500 }),
    longOnes: fc.integer({ min: 0, max: 3 }),
  });
  const property = fc.property(sizes, ({ lengthBytes, count, lastBytes, longOnes }) => {
    const made = Array.from({ length: count }, (_, at) =>
      at < longOnes ? long(lengthBytes) : short(lengthBytes),
    );
    const block = Buffer.concat([...made, short(Math.min(lastBytes, lengthBytes))]);
    expect(datagramBytes(block)).toBe(lengthBytes);
  });
  fc.assert(property, seeded(300));
});

test.each([
  ["one packet", short(1200), 1200],
  ["a stray in a block too short to search", strayInShort(), strayInShort().byteLength],
  ["nothing at all", Buffer.alloc(0), 0],
  ["nothing but a first byte", Buffer.from([0x40]), 1],
  ["an id that is cut off", short(40).subarray(0, 15), 15],
  ["two packets of two ids", Buffer.concat([short(60), short(60, randomBytes(20))]), 120],
  ["a first flight, to an id of 8 bytes", long(1200, randomBytes(8)), 1200],
  ["packets in one datagram, then others of its length", handshakeFlight(), 1200],
  ["packets of a third of a datagram", Buffer.concat(thirds().flat()), 900],
  ["packets of one length in one datagram: each stands for itself", coalesced(), 100],
])("%s", (_name, block, expected) => {
  expect(datagramBytes(block)).toBe(expected);
});

function handshakeFlight(): Buffer {
  return Buffer.concat([long(300), long(900), long(1200), long(700), short(100)]);
}

function strayInShort(): Buffer {
  const lengthBytes = quicLimits.searchedBlockBytesMin / 5;
  const ours = Array.from({ length: 4 }, () => short(lengthBytes));
  return Buffer.concat([short(lengthBytes, randomBytes(20)), ...ours]);
}

function thirds(): Buffer[][] {
  return Array.from({ length: 3 }, () => [long(300), long(600)]);
}

function coalesced(): Buffer {
  return Buffer.concat([long(100), short(100)]);
}

test("a message beside QUIC is cut off as well", () => {
  const message = looseMessage("challenge", randomBytes(32), id, randomBytes(8));
  expect(datagramBytes(Buffer.concat([short(45), message, message, short(40)]))).toBe(45);
});

test("one datagram of somebody else costs that datagram, wherever it is in the block", () => {
  const sizes = fc.record({
    lengthBytes: fc.integer({ min: 600, max: 1500 }),
    count: fc.integer({ min: 3, max: 40 }),
    lastBytes: fc.integer({ min: 30, max: 1500 }),
    strayAt: fc.nat({ max: 39 }),
  });
  const property = fc.property(sizes, ({ lengthBytes, count, lastBytes, strayAt }) => {
    const made = Array.from({ length: count }, (_, at) =>
      at === strayAt % count ? short(lengthBytes, randomBytes(20)) : short(lengthBytes),
    );
    const block = Buffer.concat([...made, short(Math.min(lastBytes, lengthBytes))]);
    expect(datagramBytes(block)).toBe(lengthBytes);
  });
  fc.assert(property, seeded(300));
});

const stray = short(1200, randomBytes(20));
const genuine = Array.from({ length: 51 }, () => short(1200));

test.each([
  ["a forged one first", [stray, ...genuine]],
  ["a forged one last", [...genuine, stray]],
  ["a runt last", [...genuine, Buffer.alloc(10)]],
  ["no QUIC first", [Buffer.alloc(1200), ...genuine]],
  ["many that were forged", genuine.map((each, at) => (at % 3 === 2 ? stray : each))],
  ["one of planted ids of ours first", [planted(id), ...genuine]],
  ["one of planted ids of its own first", [planted(randomBytes(20)), ...genuine]],
  ["one of planted ids among them", genuine.with(20, planted(id))],
  ["a handshake, and one of planted ids last", [long(1200), ...genuine, planted(id)]],
  ["a handshake, and a runt last", [long(1200), ...genuine, Buffer.alloc(10)]],
])("a block with %s is cut like any other", (_name, datagrams) => {
  expect(datagramBytes(Buffer.concat(datagrams))).toBe(1200);
});

test("one with the id of another connection costs no more: only on loopback it is taken for a large one", () => {
  const other = directConnectionIds(Buffer.alloc(32, 1)).mint();
  const block = Buffer.concat([short(1200, other), ...genuine]);
  const knows = (datagram: Uint8Array): boolean =>
    other.every((byte, at) => byte === datagram[1 + at]);
  expect(datagramBytesOf(block, "192.0.2.1", knows)).toBe(1200);
  expect(datagramBytesOf(block, "2001:db8::1", knows)).toBe(1200);
  for (const host of ["127.0.0.1", "::ffff:127.0.0.2", "::1"])
    expect(datagramBytesOf(block, host, knows)).toBe(block.byteLength);
});

/** As many packets as fit into one datagram. */
function planted(to: Uint8Array): Buffer {
  return Buffer.concat([...Array.from({ length: 57 }, () => short(21, to)), Buffer.alloc(3)]);
}

test("first datagrams behind their admission are cut as well", () => {
  const machineId = "0123456789abcd";
  const key = { epoch: 1, machineId, key: randomBytes(32), mask: randomBytes(32) };
  const sealed = (lengthBytes: number, timeS: number): Buffer => {
    const datagram = long(lengthBytes, randomBytes(16));
    return Buffer.from(sealAdmission(key, datagram, timeS, randomBytes(3)));
  };
  const first = sealed(1200, 1_700_000_000);
  expect(datagramBytes(first)).toBe(first.byteLength);
  const block = Buffer.concat([first, sealed(1200, 1_700_000_001), sealed(1200, 1_700_000_001)]);
  expect(datagramBytes(block)).toBe(first.byteLength);
  // Or what only begins like one.
  expect(datagramBytes(Buffer.concat([Buffer.alloc(1200, 0x0b), ...genuine]))).toBe(1200);
});

const hostile: readonly (readonly [string, Buffer])[] = [
  ["noise", Buffer.concat([Buffer.alloc(1), randomBytes(65_000)])],
  ["one byte", Buffer.alloc(65_000, 0x40)],
  ["one byte, then another", Buffer.alloc(65_000, 0x41).fill(0x40, 0, 32_500).fill(0, 0, 1)],
  ["ids without number", Buffer.concat(Array.from({ length: 3000 }, () => short(21)))],
  ["ids at ever other distances", growing(short, 21)],
  ["long headers at ever other distances", growing(long, 26)],
];

test.each(hostile)("%s costs no more than a few looks for each byte", (_name, block) => {
  const { datagramBytes: length, looks } = cutOf(block);
  expect(length).toBeGreaterThan(0);
  expect(length).toBeLessThanOrEqual(block.byteLength);
  expect(looks).toBeLessThan(quicLimits.cutLooksMax + block.byteLength);
});

test("ids at ever other distances reach the limit, a good block by far not", () => {
  expect(cutOf(growing(short, 21)).looks).toBeGreaterThan(quicLimits.cutLooksMax);
  expect(cutOf(Buffer.concat(genuine)).looks).toBeLessThan(quicLimits.cutLooksMax / 100);
});

function growing(packet: (lengthBytes: number) => Buffer, fromBytes: number): Buffer {
  return Buffer.concat(Array.from({ length: 1500 }, (_, at) => packet(fromBytes + (at % 43))));
}

const opened: { close(): void }[] = [];
afterAll(() => {
  for (const each of opened) each.close();
});

test.each([
  ["for QUIC", openQuicUdp],
  ["for other datagrams", openUdp],
])("from a real socket %s come the datagrams that were sent", async (_name, open) => {
  const got: Buffer[] = [];
  const { promise: all, resolve } = Promise.withResolvers<void>();
  const batch = new SendBatch();
  const sent = [...Array.from({ length: 30 }, () => short(1200)), short(700)];
  const receiver = await open(loopback, (datagram) => {
    got.push(Buffer.from(datagram));
    if (got.length === sent.length) resolve();
  });
  const sender = await openUdp(loopback, () => undefined);
  opened.push(receiver, sender);
  for (const datagram of sent) {
    datagram.copy(batch.slot(1200));
    batch.add(datagram.byteLength, loopback.host, receiver.address.port);
  }
  expect(sender.send(batch)).toBe(true);
  await all;
  expect(got).toEqual(sent);
});
