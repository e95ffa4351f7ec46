import { expect, test } from "bun:test";
import { join } from "node:path";
import type { SocketAddress } from "../../src/quic/connection.ts";
import { localAddress } from "../../src/quic/connection-factory.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import { clientConfig } from "../../src/quic/quiche-config.ts";
import { QuicheConnection } from "../../src/quic/quiche-connection.ts";
import { SendBatch } from "../../src/quic/send-batch.ts";
import { openUdp } from "../../src/quic/udp-carrier.ts";
import { freePort } from "../support/free-port.ts";
import { seed, seededRandom } from "../support/seed.ts";
import { UdpRelay } from "../support/udp-relay.ts";
import { runChild } from "../support/run-child.ts";
import { loopback, openClient, openPair, openServer } from "./pair.ts";
import { settings } from "./settings.ts";
import { exchange } from "./transfer.ts";

test("a dead peer on the socket does not hurt another: 100 of 100 arrive", async () => {
  const arrived: number[] = [];
  const healthy = await openUdp(loopback, (datagram) => arrived.push(datagram.length));
  const dead = await openUdp(loopback, () => undefined);
  const gone = dead.address;
  dead.close();
  const socket = await openUdp(loopback, () => undefined);
  const batch = new SendBatch();
  for (let count = 0; count < 100; count++) {
    batch.load(new Uint8Array(100), gone.host, gone.port);
    socket.send(batch);
    await Bun.sleep(1);
    batch.load(new Uint8Array(100), healthy.address.host, healthy.address.port);
    socket.send(batch);
  }
  const deadlineMs = performance.now() + 20_000;
  while (arrived.length < 100 && performance.now() < deadlineMs) await Bun.sleep(5);
  expect(arrived).toHaveLength(100);
  healthy.close();
  socket.close();
});

test("clients that vanish after their first datagram do not hurt a connection", async () => {
  const flight = await firstFlight();
  await using pair = await openPair();
  for (let count = 0; count < 100; count++) {
    const stranger = await openUdp(loopback, () => undefined);
    sendTo(stranger, mutated(flight, count), pair.server.address);
    stranger.close();
    if (count % 10 === 0) await exchange(pair, 10_000, seed);
  }
  await exchange(pair, 1_000_000, seed);
});

/** Both floods of the plan; `FV_FLOOD_MS` shortens them for a quick look. */
const floodMs = Number(process.env["FV_FLOOD_MS"]) || 20_000;

test(
  "a flood of random datagrams and mutated flights leaves a healthy connection served",
  async () => {
    const flights = await recordedFlights();
    await using pair = await openPair();
    const attacker = await openUdp(loopback, () => undefined);
    const random = seededRandom(seed);
    let sent = 0;
    const flood = setInterval(() => {
      for (let count = 0; count < 100; count++, sent++) {
        const flight = flights[Math.floor(random() * flights.length)];
        const datagram = flight && random() < 0.5 ? scrambled(flight, random) : noise(random);
        sendTo(attacker, datagram, pair.server.address);
      }
    }, 5);
    Bun.gc(true);
    const rssBefore = process.memoryUsage.rss();
    let slowestMs = 0;
    let exchanges = 0;
    for (const end = performance.now() + floodMs; performance.now() < end; exchanges++) {
      const start = performance.now();
      await exchange(pair, 20_000, seed);
      slowestMs = Math.max(slowestMs, performance.now() - start);
      await Bun.sleep(20);
    }
    clearInterval(flood);
    attacker.close();
    expect(sent).toBeGreaterThan(floodMs);
    expect(exchanges).toBeGreaterThan(floodMs / 1000);
    expect(slowestMs).toBeLessThan(10_000);
    Bun.gc(true);
    expect(process.memoryUsage.rss() - rssBefore).toBeLessThan(96 * 1024 * 1024);
    expect(pair.server.connectionCount).toBeLessThanOrEqual(257);
  },
  floodMs + 20_000,
);

test("an honest client gets in while half-open handshakes pile up", async () => {
  const server = await openServer({ handshakeMs: 3000 });
  const attacker = await openUdp(loopback, () => undefined);
  for (let count = 0; count < 2000; count++) {
    sendTo(attacker, genuineFlight(server.address), server.address);
    if (count % 50 === 0) await Bun.sleep(1);
  }
  const piled = server.connectionCount;
  expect(piled).toBeGreaterThanOrEqual(quicLimits.halfOpenEarlyDrop);
  expect(piled).toBeLessThanOrEqual(quicLimits.halfOpenMax);
  const client = await openClient();
  const connection = await client.connect(server.address, { timeoutMs: 10_000 });
  expect(connection.channelBinding).toHaveLength(32);
  await client.close();
  await server.close();
  attacker.close();
}, 120_000);

test("a server that starts anew with the same ids resets its old connections at once", async () => {
  const { directConnectionIds } = await import("../../src/quic/connection-id.ts");
  const key = new Uint8Array(32).fill(7);
  const bind = { host: "127.0.0.1", port: freePort() };
  const first = await openServer({ bind, connectionIds: directConnectionIds(key) });
  const client = await openClient();
  await using relay = await UdpRelay.open(first.address, {});
  const near = await client.connect(relay.address);
  // The goodbye of the first one is lost, as in a crash.
  relay.blackHole(60_000);
  await first.close();
  await Bun.sleep(120);
  relay.blackHole(0);
  const second = await openServer({
    bind: first.address,
    connectionIds: directConnectionIds(key),
  });
  const stream = await near.openStream();
  await stream.write(Buffer.from("anybody there"));
  expect(await near.closed).toMatchObject({ kind: "transport", code: 0 });
  await client.close();
  await second.close();
});

test("hostile arguments end in exceptions, never in an abort: 10 000 calls of everything", async () => {
  expect(await runChild(join(import.meta.dir, "hostile-arguments.child.ts"), "10000")).toBe(
    "survived",
  );
});

test("nothing but the range-checked files calls native code", async () => {
  const sources = new Bun.Glob("src/**/*.ts").scan({ cwd: `${import.meta.dir}/../..` });
  const callers: string[] = [];
  for await (const path of sources) {
    const text = await Bun.file(`${import.meta.dir}/../../${path}`).text();
    if (/from "@matrixai\/quic\/native\/quiche/.test(text)) callers.push(path);
  }
  const stems = ["quiche-config", "quiche-connection", "quiche-packet"];
  expect(callers.toSorted()).toEqual(stems.map((stem) => `src/quic/${stem}.ts`));
});

async function recordedFlights(): Promise<Uint8Array[]> {
  const flights: Uint8Array[] = [];
  const opened: UdpRelay[] = [];
  const pair = await openPair({
    through: async (server) => {
      const relay = await UdpRelay.open(server, {
        onDatagram: (direction, datagram) => {
          if (direction === "to-server" && flights.length < 50) flights.push(datagram.slice());
        },
      });
      opened.push(relay);
      return relay.address;
    },
  });
  await exchange(pair, 100_000, seed);
  await pair[Symbol.asyncDispose]();
  for (const relay of opened) await relay[Symbol.asyncDispose]();
  return flights;
}

async function firstFlight(): Promise<Uint8Array> {
  const [first] = await recordedFlights();
  if (first === undefined) throw new Error("Nothing was recorded");
  return first;
}

/** The first datagram of a client that will never answer. */
function genuineFlight(server: SocketAddress): Uint8Array {
  const config = clientConfig(settings);
  const scid = crypto.getRandomValues(new Uint8Array(20));
  const client = QuicheConnection.connect(scid, localAddress(server), server, config);
  const slot = new Uint8Array(1200);
  return slot.subarray(0, client.send(slot) ?? 0);
}

/** Another client's genuine looking first flight: a different destination id (its keys then fail). */
function mutated(flight: Uint8Array, count: number): Uint8Array {
  const copy = flight.slice();
  new DataView(copy.buffer).setUint32(8, count);
  return copy;
}

function scrambled(flight: Uint8Array, random: () => number): Uint8Array {
  const copy = flight.slice(0, random() < 0.2 ? Math.ceil(random() * flight.length) : undefined);
  for (let flips = 1 + random() * 8; flips > 0; flips--) {
    const at = Math.floor(random() * copy.length);
    copy[at] = Math.floor(random() * 256);
  }
  return copy;
}

function noise(random: () => number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(1 + Math.floor(random() * 1499)));
}

const batch = new SendBatch();

function sendTo(
  socket: Awaited<ReturnType<typeof openUdp>>,
  datagram: Uint8Array,
  to: SocketAddress,
): void {
  batch.load(datagram, to.host, to.port);
  socket.send(batch);
}
