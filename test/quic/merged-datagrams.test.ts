import { afterAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { directConnectionIds } from "../../src/quic/connection-id.ts";
import { looseMessage } from "../../src/quic/loose-message.ts";
import { datagramBytes } from "../../src/quic/merged-datagrams.ts";
import { SendBatch } from "../../src/quic/send-batch.ts";
import { openQuicUdp, openUdp } from "../../src/quic/udp-carrier.ts";
import { seeded } from "../support/seed.ts";

const id = directConnectionIds(Buffer.alloc(32, 1)).mint();
const loopback = { host: "127.0.0.1", port: 0 };

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
  ["nothing but a first byte", Buffer.from([0x40]), 1],
  ["an id that is cut off", short(40).subarray(0, 15), 15],
  ["two packets of two ids", Buffer.concat([short(60), short(60, randomBytes(20))]), 120],
  ["a first flight, to an id of 8 bytes", long(1200, randomBytes(8)), 1200],
  ["packets in one datagram, then others of its length", handshakeFlight(), 1200],
  ["packets of one length in one datagram: each stands for itself", coalesced(), 100],
])("%s", (_name, block, expected) => {
  expect(datagramBytes(block)).toBe(expected);
});

function handshakeFlight(): Buffer {
  return Buffer.concat([long(300), long(900), long(1200), long(700), short(100)]);
}

function coalesced(): Buffer {
  return Buffer.concat([long(100), short(100)]);
}

test("a message beside QUIC is cut off as well", () => {
  const message = looseMessage("challenge", randomBytes(32), id, randomBytes(8));
  expect(datagramBytes(Buffer.concat([short(45), message, message, short(40)]))).toBe(45);
});

test("ids without number from whoever knows one cost little, and lose nobody else's packets", () => {
  const block = Buffer.concat(
    Array.from({ length: 3000 }, () => Buffer.concat([id, Uint8Array.of(0x40)])),
  );
  const length = datagramBytes(block);
  expect(length).toBeGreaterThan(0);
  expect(length).toBeLessThanOrEqual(block.byteLength);
});

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
