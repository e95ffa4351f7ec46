import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { clientGate, machineGate } from "../../src/quic/admission-gate.ts";
import { sealAdmission } from "../../src/quic/admission-header.ts";
import { type AdmissionKey, deriveAdmissionKey } from "../../src/quic/admission-key.ts";
import type { DatagramGate, OpenCarrier } from "../../src/quic/carrier.ts";
import { ConnectionClosed } from "../../src/quic/connection.ts";
import type { Endpoint } from "../../src/quic/endpoint.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import { routedConnectionIds } from "../../src/quic/routed-id.ts";
import { openUdp } from "../../src/quic/udp-carrier.ts";
import { seed } from "../support/seed.ts";
import { openClient, openPair, openServer } from "./pair.ts";
import { exchange } from "./transfer.ts";

/** Endpoints behind the machine's gate, with ids that carry the machine. */

const key = deriveAdmissionKey(new Uint8Array(32).fill(5), 3, "148e21ea7e46e8");
const foreign = deriveAdmissionKey(new Uint8Array(32).fill(5), 3, "148e21ea7e46e9");
const secret = randomBytes(32);
const wallMs = (): number => Date.now();
const guarded = (): {
  gate: DatagramGate;
  connectionIds: ReturnType<typeof routedConnectionIds>;
} => ({
  gate: machineGate([key], wallMs),
  connectionIds: routedConnectionIds([key], secret),
});
const tagged = (by: AdmissionKey = key, clockMs = wallMs): { gate: DatagramGate } => ({
  gate: clientGate({ key: by, wallMs: clockMs, randomBytes }),
});

/** A carrier that shows every datagram it sends, and may keep it to itself. */
function watched(sees: (datagram: Uint8Array, port: number) => boolean): {
  openCarrier: OpenCarrier;
} {
  return {
    openCarrier: async (bind, receive) => {
      const real = await openUdp(bind, receive);
      const send: typeof real.send = (batch) => {
        const shown = Array.from({ length: batch.count }, (_, index) =>
          sees(batch.datagram(index).slice(), batch.port),
        );
        return shown.includes(false) || real.send(batch);
      };
      return { address: real.address, send, close: () => real.close() };
    },
  };
}

async function refused(server: Endpoint, gate: { gate?: DatagramGate }): Promise<void> {
  const client = await openClient(gate);
  const failure = await client.connect(server.address, { timeoutMs: 300 }).catch((error) => error);
  expect(failure).toEqual(new ConnectionClosed({ kind: "handshake-timeout" }));
  await client.close();
}

/** What a client with this gate sends first; nothing of it goes out. */
async function firstFlight(gate: { gate?: DatagramGate }, to: Endpoint): Promise<Uint8Array> {
  const sent: Uint8Array[] = [];
  const client = await openClient({ ...gate, ...watched((datagram) => sent.push(datagram) === 0) });
  await client.connect(to.address, { timeoutMs: 50 }).catch(() => undefined);
  await client.close();
  const [first] = sent;
  if (first === undefined) throw new Error("Nothing was sent");
  return first;
}

/** From a port of its own. */
async function sendRaw(datagrams: readonly Uint8Array[], to: Endpoint): Promise<number> {
  const socket = await Bun.udpSocket({ hostname: "127.0.0.1" });
  const { port } = socket;
  for (const datagram of datagrams) socket.send(datagram, to.address.port, to.address.host);
  await Bun.sleep(100);
  socket.close();
  return port;
}

/** To an id that is known, with a token of at most 63 bytes. */
function bareInitial(id: Uint8Array, token: Uint8Array, version = 1): Uint8Array {
  const head = Uint8Array.of(0xc3, 0, 0, 0, version, id.length);
  const rest = [Uint8Array.of(8), randomBytes(8), Uint8Array.of(token.length), token];
  return Buffer.concat([head, id, ...rest, Uint8Array.of(0x44, 0xb0), randomBytes(1200)]);
}

async function until(holds: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 20_000;
  while (!holds() && performance.now() < deadlineMs) await Bun.sleep(20);
  expect(holds()).toBe(true);
}

test("with the key a client gets in, data passes, and both sides count one connection", async () => {
  await using pair = await openPair({ server: guarded(), client: tagged() });
  await exchange(pair, 4_000_000, seed);
  expect(pair.server.connectionCount).toBe(1);
});

test("everybody else gets silence: no datagram, no connection, and those inside do not notice", async () => {
  const sentTo: number[] = [];
  const count = watched((_, port) => sentTo.push(port) > 0);
  await using pair = await openPair({ server: { ...guarded(), ...count }, client: tagged() });
  await exchange(pair, 100_000, seed);
  const flight = await firstFlight({}, pair.server);
  const ours = await firstFlight(tagged(), pair.server);
  const nextVersion = ours.slice(28);
  nextVersion[4] = 9;
  await refused(pair.server, {});
  await refused(pair.server, tagged(foreign));
  for (const apartMs of [-100_000, 100_000])
    await refused(
      pair.server,
      tagged(key, () => Date.now() + apartMs),
    );
  await sendRaw([flight, nextVersion, randomBytes(1200), randomBytes(40)], pair.server);
  expect(new Set(sentTo)).toEqual(new Set([pair.client.address.port]));
  expect(pair.server.connectionCount).toBe(1);
  await exchange(pair, 100_000, seed);
});

test("a replayed first flight makes no second connection", async () => {
  let answers = 0;
  const server = await openServer({
    ...guarded(),
    handshakeMs: 3000,
    ...watched(() => ++answers > 0),
  });
  const flight = await firstFlight(tagged(), server);
  await sendRaw([flight], server);
  await until(() => answers > 0 && server.connectionCount === 1);
  await until(() => server.connectionCount === 0);
  const before = answers;
  await sendRaw([flight, flight], server);
  expect([answers - before, server.connectionCount]).toEqual([0, 0]);
  await server.close();
});

test("under load an admitted client proves its address by a Retry; its answer comes bare", async () => {
  const { gate, connectionIds } = guarded();
  const server = await openServer({ gate, connectionIds, random: () => 0.999 });
  const deaf = await Promise.all(
    Array.from({ length: quicLimits.halfOpenEarlyDrop }, () => firstFlight(tagged(), server)),
  );
  await sendRaw(deaf, server);
  await until(() => server.connectionCount === quicLimits.halfOpenEarlyDrop);

  let bare = 0;
  const sees = (datagram: Uint8Array): boolean => {
    if (((datagram[0] ?? 0) & 0xf0) === 0xc0 && datagram[5] === 20) bare++;
    return true;
  };
  const client = await openClient({ ...tagged(), ...watched(sees) });
  await client.connect(server.address, { timeoutMs: 20_000 });
  expect(bare).toBeGreaterThan(0);
  await client.close();
  await server.close();
});

test("an id seen on the way lets nobody else in, bare or with a token of his own making", async () => {
  const { gate, connectionIds } = guarded();
  const sentTo: number[] = [];
  const count = watched((_, port) => sentTo.push(port) > 0);
  const server = await openServer({ gate, connectionIds, random: () => 0.999, ...count });
  const forged = [
    bareInitial(connectionIds.mint(), new Uint8Array(0)),
    bareInitial(connectionIds.mint(), randomBytes(40)),
    bareInitial(connectionIds.mint(), new Uint8Array(0), 9),
  ];
  await sendRaw(forged, server);
  expect([sentTo, server.connectionCount]).toEqual([[], 0]);

  // Nor where the admitted are asked to Retry.
  const half = Array.from({ length: quicLimits.halfOpenEarlyDrop }, () =>
    firstFlight(tagged(), server),
  );
  await sendRaw(await Promise.all(half), server);
  await until(() => server.connectionCount === quicLimits.halfOpenEarlyDrop);
  const port = await sendRaw(forged, server);
  expect(sentTo).not.toContain(port);
  const admitted = forged.map((bytes) =>
    sealAdmission(key, bytes, Date.now() / 1000, randomBytes(3)),
  );
  const answered = await sendRaw(admitted, server);
  await until(() => sentTo.filter((to) => to === answered).length === 3);
  await server.close();
});

test("a server started again with the same keys resets the connections of the one before", async () => {
  let crashed = false;
  const first = await openServer({ ...guarded(), ...watched(() => !crashed) });
  const client = await openClient(tagged());
  const near = await client.connect(first.address);
  // Its goodbye is lost, as in a crash.
  crashed = true;
  await first.close();
  const next = await openServer({ ...guarded(), bind: first.address });
  const stream = await near.openStream();
  await stream.write(Buffer.from("anybody there"));
  expect(await near.closed).toMatchObject({ kind: "transport", code: 0 });
  await client.close();
  await next.close();
});

test("a client that moves stays connected", async () => {
  await using pair = await openPair({ server: guarded(), client: tagged() });
  await exchange(pair, 100_000, seed);
  await pair.client.rebind();
  await exchange(pair, 1_000_000, seed);
  await until(() => pair.far.remoteAddress.port === pair.client.address.port);
});
