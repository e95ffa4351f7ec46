/**
 * Run as a child of hostile.test.ts: a native abort would end it without the last line. Everything of
 * ours that calls native code is called so many times, with arguments of wrong types and ranges, on
 * connections in every state.
 */
import { writeSync } from "node:fs";
import { selfSignedCertificate } from "../../src/quic/certificate.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import * as configs from "../../src/quic/quiche-config.ts";
import * as connections from "../../src/quic/quiche-connection.ts";
import * as packets from "../../src/quic/quiche-packet.ts";
import { pick } from "../support/mutation.ts";
import { seed, seededRandom } from "../support/seed.ts";
import { settings } from "./settings.ts";

const { QuicheConnection } = connections;
const callsEach = Number(process.argv[2]);
const random = seededRandom(seed);
const local = { host: "192.0.2.1", port: 1 };
const remote = { host: "127.0.0.1", port: 4433 };
const identity = selfSignedCertificate();
const toClient = connections.pathInfo(remote, local);

const odd: readonly unknown[] = [
  [-1, -0.5, 0, 1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  [7, 15, 16, 31, 32, 53, 62, 63, 64].flatMap((power) => [2 ** power - 1, 2 ** power]),
  [-(2 ** 31), -(2 ** 53), -(2 ** 63), 1n, -1n, 2n ** 128n, true, false, null, undefined],
  ["", "x", "\0", "::1", "127.0.0.1", "fe80::1%eth0", "/tmp/keys", "/proc/self/fd/-1"],
  [[], {}, [1, 2], Symbol("odd"), () => 1, new Date(0), new Map(), Buffer.alloc(0)],
  [0, 1, 20, 21, 1199, 1200, 65_508].map((length) => new Uint8Array(length)),
  [new ArrayBuffer(20), new DataView(new ArrayBuffer(20)), new Float64Array(4)],
  [new Uint8Array(new SharedArrayBuffer(1200)), new Proxy(new Uint8Array(20), {})],
  [{ host: "::1" }, { host: 1, port: "x" }, { length: 20 }, { from: local, to: null }],
].flat();

/** Mostly what fits, so that the other arguments are looked at too. */
function or<Value>(value: Value): Value {
  return random() < 0.5 ? value : (pick(random, odd) as Value);
}

/** An object of which at most one member is wrong. */
function oddMember<Shape extends object>(shape: Shape): Shape {
  const name = pick(random, Object.keys(shape));
  return { ...shape, [name]: or(shape[name as keyof Shape]) };
}

type State = "fresh" | "handshake" | "established" | "closed";
type Connection = connections.QuicheConnection;

function connectionIn(state: State): Connection {
  const scid = crypto.getRandomValues(new Uint8Array(20));
  const config = configs.clientConfig(settings);
  const client = QuicheConnection.connect(scid, local, remote, config);
  if (state === "fresh") return client;
  const slot = new Uint8Array(1200);
  const first = slot.slice(0, client.send(slot) ?? 0);
  if (state === "handshake") return client;
  const serverIds = { scid: crypto.getRandomValues(new Uint8Array(20)), originalDcid: undefined };
  const serverSettings = configs.serverConfig(settings, identity, 1n);
  const server = QuicheConnection.accept(serverIds, local, remote, serverSettings);
  server.receive(first, toClient);
  for (let flight = 0; flight < 6; flight++) {
    pass(server, client, slot);
    pass(client, server, slot);
  }
  if (!client.isEstablished()) throw new Error("No handshake");
  if (state === "closed") client.close(true, 0, new Uint8Array(0));
  return client;
}

function pass(from: Connection, to: Connection, slot: Uint8Array): void {
  for (let sent = from.send(slot); sent !== null; sent = from.send(slot))
    to.receive(slot.slice(0, sent), toClient);
}

const bytes = new Uint8Array(10);
const chunk = new Uint8Array(2000);
const header = { type: "initial", version: 1, dcid: bytes, scid: bytes, token: bytes } as const;
const stream = (): number => or(pick(random, [0, 4, 1, 2]));

/** By name, whatever a class or module of ours that imports native code has to call. */
const calls: Readonly<Record<string, (connection: Connection) => unknown>> = {
  clientConfig: () => configs.clientConfig(or(oddMember(settings))),
  serverConfig: () =>
    configs.serverConfig(or(oddMember(settings)), or(oddMember(identity)), or(1n)),
  pathInfo: () => connections.pathInfo(or(oddMember(remote)), or(oddMember(local))),
  parseLongHeader: () => packets.parseLongHeader(or(chunk)),
  versionIsSupported: () => packets.versionIsSupported(or(1)),
  versionNegotiationPacket: () => packets.versionNegotiationPacket(or(oddMember(header))),
  retryPacket: () => packets.retryPacket(or(oddMember(header)), or(bytes), or(bytes)),
  connect: () => {
    const config = configs.clientConfig(oddMember(settings));
    const made = QuicheConnection.connect(or(bytes), or(oddMember(local)), or(remote), config);
    return made.send(chunk);
  },
  accept: () => {
    const ids = { scid: or(bytes), originalDcid: or(bytes) };
    return QuicheConnection.accept(or(ids), or(oddMember(local)), or(remote), clientSettings);
  },
  setKeylog: (on) => on.setKeylog(or("/proc/self/fd/2147483647")),
  receive: (on) => on.receive(or(chunk), or(oddMember(toClient))),
  send: (on) => on.send(or(chunk)),
  streamReceive: (on) => on.streamReceive(stream(), or(chunk)),
  streamSend: (on) => on.streamSend(stream(), or(bytes), or(random() < 0.1)),
  streamRoom: (on) => on.streamRoom(stream()),
  stopReading: (on) => on.stopReading(stream(), or(1)),
  resetWriting: (on) => on.resetWriting(stream(), or(1)),
  streamFinished: (on) => on.streamFinished(stream()),
  readableStreams: (on) => [...on.readableStreams()],
  peerStreamsLeft: (on) => on.peerStreamsLeft(),
  close: (on) => on.close(or(true), or(1), or(bytes)),
  timeoutMs: (on) => on.timeoutMs(),
  onTimeout: (on) => on.onTimeout(),
  paths: (on) => on.paths(),
  sendKeepAlive: (on) => on.sendKeepAlive(),
  applicationProtocol: (on) => on.applicationProtocol(),
  peerCertificates: (on) => on.peerCertificates(),
  sourceId: (on) => on.sourceId(),
  destinationId: (on) => on.destinationId(),
  isEstablished: (on) => on.isEstablished(),
  isResumed: (on) => on.isResumed(),
  isInEarlyData: (on) => on.isInEarlyData(),
  isDraining: (on) => on.isDraining(),
  isClosed: (on) => on.isClosed(),
  isTimedOut: (on) => on.isTimedOut(),
  peerError: (on) => on.peerError(),
  localError: (on) => on.localError(),
  stats: (on) => on.stats(),
};

const clientSettings = configs.clientConfig(settings);
const classNames = new Set(["length", "name", "prototype", "constructor"]);
const there = [
  ...Object.keys(configs),
  ...Object.keys(packets),
  ...Object.keys(connections).filter((name) => name !== "QuicheConnection"),
  ...Object.getOwnPropertyNames(QuicheConnection),
  ...Object.getOwnPropertyNames(QuicheConnection.prototype),
  ...Object.keys(connectionIn("fresh")),
].filter((name) => !classNames.has(name));
const forgotten = there.filter((name) => calls[name] === undefined);
if (forgotten.length > 0) throw new Error(`Not called: ${forgotten.join(" ")}`);

let refused = 0;
for (const [name, call] of Object.entries(calls)) {
  writeSync(2, `${name}\n`);
  let connection = connectionIn("fresh");
  for (let count = 0; count < callsEach; count++) {
    if (count % 100 === 0) {
      Bun.gc(false);
      connection = connectionIn(pick(random, ["fresh", "handshake", "established", "closed"]));
    }
    try {
      call(connection);
    } catch {
      // An exception is what we ask for.
      refused += 1;
    }
  }
  // What was called must not have spoilt it.
  for (let sent = 0; sent < 10; sent++)
    connection.send(new Uint8Array(quicLimits.datagramBytesBase));
}
if (refused < callsEach) throw new Error(`Only ${refused} calls were refused`);
console.log("survived");
