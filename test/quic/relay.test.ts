import { expect, test } from "bun:test";
import { join } from "node:path";
import { ConnectionClosed } from "../../src/quic/connection.ts";
import { seed } from "../support/seed.ts";
import { type LinkOptions, UdpRelay } from "../support/udp-relay.ts";
import type { BulkTask } from "./bulk.child.ts";
import { runChild } from "../support/run-child.ts";
import { openClient, openPair, openServer, type Pair } from "./pair.ts";
import { exchange } from "./transfer.ts";

const mebibyte = 1024 * 1024;
const minute = 60_000;

/** Link, and how much crosses it both ways at once. */
const cells: readonly (readonly [string, number, LinkOptions])[] = [
  ["a clean link", 64, {}],
  ["duplication 5 %", 64, { duplicate: 0.05 }],
  ["reordering 5 % by 5 ms", 64, { reorder: 0.05, reorderMs: 5 }],
  ["loss 1 %", 64, { loss: 0.01 }],
  ["loss 5 %", 32, { loss: 0.05 }],
  ["loss 10 %", 16, { loss: 0.1 }],
  ["loss 20 %", 16, { loss: 0.2 }],
  ["bit errors 1 %", 16, { corrupt: 0.01 }],
  ["delay 25 ms, loss 1 %", 16, { delayMs: 25, loss: 0.01 }],
  [
    "everything at once",
    8,
    { loss: 0.05, duplicate: 0.02, reorder: 0.02, reorderMs: 10, corrupt: 0.01, delayMs: 10 },
  ],
];

test.each(cells)(
  "%s: %p MiB both ways arrive unharmed, memory flat",
  async (_name, size, link) => {
    const { growthBytes } = await bulk({ sizeBytes: size * mebibyte, link, keep: false });
    expect(growthBytes).toBeLessThan(48 * mebibyte);
  },
  2 * minute,
);

test(
  "memory that is kept would be seen",
  async () => {
    const { growthBytes } = await bulk({ sizeBytes: 64 * mebibyte, link: {}, keep: true });
    expect(growthBytes).toBeGreaterThan(100 * mebibyte);
  },
  2 * minute,
);

test(
  "a client whose address changes every 2 s goes on with the same connection",
  async () => {
    await using relayed = await openRelayed({ delayMs: 20 });
    const { pair, relay } = relayed;
    const before = pair.far.remoteAddress.port;
    const changing = setInterval(() => void relay.rebind(), 2000);
    while (relay.counts.rebinds < 5) await exchange(pair, 8 * mebibyte, seed);
    clearInterval(changing);
    expect(pair.far.remoteAddress.port).not.toBe(before);
  },
  minute,
);

test(
  "200 address changes on one connection",
  async () => {
    await using relayed = await openRelayed({});
    const { pair, relay } = relayed;
    for (let change = 0; change < 200; change++) {
      await relay.rebind();
      await exchange(pair, 2000, seed + change);
    }
    expect(relay.counts.rebinds).toBe(200);
  },
  minute,
);

test("the client's own change of socket goes unnoticed by its streams", async () => {
  await using pair = await openPair();
  const moving = exchange(pair, 32 * mebibyte, seed);
  for (let change = 0; change < 5; change++) {
    await Bun.sleep(50);
    const before = pair.client.address.port;
    await pair.client.rebind();
    expect(pair.client.address.port).not.toBe(before);
  }
  await moving;
  while (pair.far.remoteAddress.port !== pair.client.address.port) await exchange(pair, 1000, seed);
}, 120_000);

test(
  "a black hole of 8 s is survived",
  async () => {
    await using relayed = await openRelayed({ delayMs: 5 });
    const { pair, relay } = relayed;
    const dark = Promise.withResolvers<void>();
    let seen = 0;
    const moving = exchange(pair, 32 * mebibyte, seed, (part) => {
      // In the middle of it, however fast the computer is.
      if ((seen += part.length) < 4 * mebibyte) return;
      relay.blackHole(8000);
      seen = Number.NEGATIVE_INFINITY;
      dark.resolve();
    });
    await dark.promise;
    await Bun.sleep(7500);
    expect(pair.near.quietMs()).toBeGreaterThan(6500);
    await moving;
    expect(pair.near.quietMs()).toBeLessThan(2000);
  },
  minute,
);

test("a path that carries 1200 bytes is enough, a narrower one is a handshake timeout", async () => {
  await using relayed = await openRelayed({ datagramBytesMax: 1200 });
  await exchange(relayed.pair, mebibyte, seed);
  const server = await openServer();
  const client = await openClient();
  await using narrow = await UdpRelay.open(server.address, { datagramBytesMax: 1199 });
  const failure = await client.connect(narrow.address, { timeoutMs: 500 }).catch((error) => error);
  expect(failure).toEqual(new ConnectionClosed({ kind: "handshake-timeout" }));
  await client.close();
  await server.close();
});

test("larger datagrams are used when they are asked for", async () => {
  const options = { datagramBytesMax: 8000 };
  let largest = 0;
  const watch = (_: unknown, datagram: Uint8Array): void => {
    largest = Math.max(largest, datagram.byteLength);
  };
  await using relayed = await openRelayed({ onDatagram: watch }, options);
  await exchange(relayed.pair, mebibyte, seed);
  expect(largest).toBe(8000);
});

async function openRelayed(
  link: LinkOptions,
  options: { readonly datagramBytesMax?: number } = {},
): Promise<AsyncDisposable & { readonly pair: Pair; readonly relay: UdpRelay }> {
  const opened: UdpRelay[] = [];
  const pair = await openPair({
    server: options,
    client: options,
    through: async (server) => {
      const relay = await UdpRelay.open(server, { seed, ...link });
      opened.push(relay);
      return relay.address;
    },
  });
  const [relay] = opened;
  if (relay === undefined) throw new Error("No relay was opened");
  return {
    pair,
    relay,
    [Symbol.asyncDispose]: async () => {
      await pair[Symbol.asyncDispose]();
      await relay[Symbol.asyncDispose]();
    },
  };
}

async function bulk(task: BulkTask): Promise<{ readonly growthBytes: number }> {
  const printed = await runChild(join(import.meta.dir, "bulk.child.ts"), JSON.stringify(task));
  return JSON.parse(printed) as { growthBytes: number };
}
