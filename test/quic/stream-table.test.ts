import { expect, test } from "bun:test";
import type { Ballast } from "../../src/quic/ballast.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import type { QuicheConnection } from "../../src/quic/quiche-connection.ts";
import { StreamTable } from "../../src/quic/stream-table.ts";

/** A connection with so much room for all streams together, and what it took, by stream. */
class Window {
  room = 0;
  readonly taken: (readonly [id: number, bytes: number])[] = [];

  table(): StreamTable {
    const quiche = {
      peerStreamsLeft: () => 10,
      streamRoom: () => this.room,
      streamSend: (id: number, bytes: Uint8Array) => {
        if (bytes.length > 0) this.taken.push([id, bytes.length]);
        this.room -= bytes.length;
        return bytes.length;
      },
    };
    return new StreamTable(
      quiche as unknown as QuicheConnection,
      "client",
      {} as unknown as Ballast,
      { wake: () => undefined, consumed: () => undefined, gaveUp: () => undefined },
    );
  }
}

const bulk = new Uint8Array(1024 * 1024);
const key = new Uint8Array(40);

test("a key goes before the bulk that waited longer", async () => {
  const window = new Window();
  const table = window.table();
  const [first, second, console] = [await table.open(), await table.open(), await table.open()];
  for (const stream of [first, second]) void stream.write(bulk);
  const typed = console.write(key);
  window.room = 3000;
  table.pumpWriters();
  await typed;
  expect(window.taken).toEqual([
    [console.id, key.length],
    [first.id, 3000 - key.length],
  ]);
});

test("what comes for a stream that is over is read to its last byte, and so gives its room back", () => {
  const late = { id: 9, bytes: 5 * quicLimits.readBytesMax };
  let consumed = 0;
  const quiche = {
    readableStreams: () => [late.id],
    peerStreamsLeft: () => 0,
    streamReceive: (_: number, into: Uint8Array) => {
      const length = Math.min(into.length, late.bytes);
      late.bytes -= length;
      return length === 0 ? null : [length, false];
    },
  };
  const table = new StreamTable(
    quiche as unknown as QuicheConnection,
    "client",
    {} as unknown as Ballast,
    {
      wake: () => undefined,
      consumed: (bytes) => void (consumed += bytes),
      gaveUp: () => undefined,
    },
  );
  // Taken in, given up, and forgotten by us.
  table.handleReceived();
  table.handleGivenUp({ id: late.id, code: 0, hasEnded: false });
  late.bytes = 5 * quicLimits.readBytesMax;
  consumed = 0;
  table.handleReceived();
  expect(consumed).toBe(5 * quicLimits.readBytesMax);
});

test("keys without end leave every other turn to the bulk", async () => {
  const window = new Window();
  const table = window.table();
  const [large, ...small] = [await table.open(), await table.open(), await table.open()];
  void large.write(bulk);
  const type = async (stream: (typeof small)[number]): Promise<void> => {
    for (;;) await stream.write(new Uint8Array(quicLimits.promptBytesMax));
  };
  for (const stream of small) void type(stream);
  for (let turn = 0; turn < 100; turn++) {
    window.room = quicLimits.promptBytesMax;
    table.pumpWriters();
    // Whoever wrote writes again.
    await Promise.resolve();
    await Promise.resolve();
  }
  const ofBulk = window.taken.filter(([id]) => id === large.id).length;
  expect(ofBulk).toBeGreaterThanOrEqual(45);
  expect(ofBulk).toBeLessThanOrEqual(55);
});

test("streams with much to write take turns, a quantum each", async () => {
  const window = new Window();
  const table = window.table();
  const [a, b] = [await table.open(), await table.open()];
  for (const stream of [a, b]) void stream.write(bulk);
  window.room = 3 * quicLimits.writeQuantumBytes;
  table.pumpWriters();
  expect(window.taken.map(([id]) => id)).toEqual([a.id, b.id, a.id]);
});
