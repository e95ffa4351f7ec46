import { afterEach, beforeEach, expect, test } from "bun:test";
import { closeSync } from "node:fs";
import { ptr } from "bun:ffi";
import type {
  Decision,
  DropCause,
  Flow,
  Instant,
  Output,
} from "../../../../src/roles/proxy/decision.ts";
import { Door } from "../../../../src/roles/proxy/relay/door.ts";
import { proxyLimits } from "../../../../src/roles/proxy/limits.ts";
import {
  openPublicSocket,
  type PublicSocket,
} from "../../../../src/roles/proxy/relay/public-socket.ts";
import { RelayCounters } from "../../../../src/roles/proxy/relay-counters.ts";
import { type RelayDecisions, RelayLoop } from "../../../../src/roles/proxy/relay/relay-loop.ts";
import type { Source } from "../../../../src/roles/proxy/source.ts";
import {
  bindSocket,
  boundAddress,
  closeSocket,
  openDatagramSocket,
} from "../../../../src/system/datagram-socket.ts";
import { openPipe, type Pipe } from "../../../../src/system/process-pipe.ts";
import { ReceiveBatch } from "../../../../src/system/receive-batch.ts";
import { SendVector } from "../../../../src/system/send-vector.ts";
import { targetAt } from "../../../system/datagram-stage.ts";

/** One turn at a time, with real sockets and decisions that the test makes. All is on loopback, so what was sent is there. */

class ScriptedCore implements RelayDecisions {
  readonly asked: { readonly first: number; readonly source: Source }[] = [];
  readonly machineDatagrams: number[] = [];
  readonly closed: Flow[] = [];
  output: Output | null = null;
  decide: (first: number, source: Source) => Decision = () => ({ kind: "drop", cause: "no-quic" });
  toClient: DropCause | null = null;

  fromClient(datagram: Uint8Array, source: Source): Decision {
    const first = datagram[0] ?? 0;
    this.asked.push({ first, source });
    return this.decide(first, source);
  }
  fromMachine(_flow: Flow, _bytes: number, datagrams: number): DropCause | null {
    this.machineDatagrams.push(datagrams);
    return this.toClient;
  }
  learn(): void {}
  tick(): void {}
  takeOutput(): Output | null {
    const { output } = this;
    this.output = null;
    return output;
  }
  flowClosed(flow: Flow): void {
    this.closed.push(flow);
  }
}

let core: ScriptedCore;
let counters: RelayCounters;
let loop: RelayLoop;
let proxyPort: number;
let publicSocket: PublicSocket;
let machine: number;
let records: Pipe;
let opened: number[];
let mistakes: unknown[];

beforeEach(() => {
  core = new ScriptedCore();
  counters = new RelayCounters();
  mistakes = [];
  const socket = openPublicSocket({ host: "127.0.0.1", port: 0 }, counters, { index: 0, seed: 1 });
  publicSocket = socket;
  proxyPort = socket.address.port;
  machine = openSocket();
  const door = new Door(new Uint8Array(8), counters);
  records = openPipe();
  opened = [machine, socket.way.descriptor, socket.admissions, door.way.descriptor];
  loop = new RelayLoop({
    core,
    publicSockets: [socket],
    door,
    backendPort: boundAddress(machine).port,
    counters,
    records: { descriptor: records.readFd, read: () => true },
    requests: { send: () => undefined, flush: () => undefined },
    now: (): Instant => ({ monotonicMs: 0, wallMs: 0 }),
    mistaken: (error) => mistakes.push(error),
    report: () => undefined,
  });
});

afterEach(() => {
  loop.close();
  for (const fd of opened) closeSocket(fd);
  for (const fd of [records.readFd, records.writeFd]) closeSync(fd);
});

test("a turn takes a share of everybody's, and fewer admissions while others are busy", () => {
  const client = openClient();
  const flow = flowOf();
  core.decide = (first) => (first === 0x41 ? flow : { kind: "drop", cause: "bad-tag" });
  send(client, [0x41]);
  loop.turn(0);
  for (let count = 0; count < 200; count++) send(client, [0x41]);
  for (let count = 0; count < 100; count++) send(openClient(), [0x0b], 1228);
  const upstream = receiveAll(machine)[0]?.port ?? 0;
  for (let count = 0; count < 30; count++) sendTo(machine, upstream, [0xc1]);
  core.asked.length = 0;
  core.machineDatagrams.length = 0;

  loop.turn(0);
  const { admissionSlotsWhenBusy, batchSlots, slotsPerUpstreamTurn } = proxyLimits;
  expect(askedOf(0x41)).toBe(batchSlots);
  expect(askedOf(0x0b)).toBe(admissionSlotsWhenBusy);
  expect(core.machineDatagrams.length).toBe(slotsPerUpstreamTurn);
  expect(receiveAll(client).length).toBe(slotsPerUpstreamTurn);

  for (let turn = 0; turn < 3; turn++) loop.turn(0);
  expect(askedOf(0x41)).toBe(200);
  expect(core.machineDatagrams.length).toBe(30);
  expect(askedOf(0x0b)).toBe(4 * admissionSlotsWhenBusy);
  loop.turn(0);
  expect(askedOf(0x0b)).toBe(4 * admissionSlotsWhenBusy + batchSlots);
});

test("those with a flow come before strangers who were there first", () => {
  const [client, stranger] = [openClient(), openClient()];
  const flow = flowOf();
  core.decide = (first) => (first === 0x41 ? flow : { kind: "drop", cause: "bad-id" });
  send(client, [0x41]);
  loop.turn(0);
  core.asked.length = 0;
  for (const first of [0x42, 0x43]) send(stranger, [first]);
  for (let count = 0; count < 2; count++) send(client, [0x41]);
  loop.turn(0);
  expect(core.asked.map(({ first }) => first)).toEqual([0x41, 0x41, 0x42, 0x43]);
});

test("one client is one source for as long as it has a flow, and one flow one socket", () => {
  const client = openClient();
  const [flow, other] = [flowOf(), flowOf()];
  core.decide = (first) => (first === 0x41 ? flow : other);
  for (const first of [0x41, 0x41, 0x42, 0x41]) {
    send(client, [first]);
    loop.turn(0);
  }
  expect(new Set(core.asked.map(({ source }) => source)).size).toBe(1);
  const ports = receiveAll(machine).map(({ port }) => port);
  expect(ports[0]).toBe(ports[3] ?? 0);
  expect(ports[0]).not.toBe(ports[2] ?? 0);
  expect(new Set(ports).size).toBe(2);
  core.output = { requests: [], released: [], hints: [], closed: [flow, other] };
  loop.turn(0);
  expect([flow.descriptor, other.descriptor]).toEqual([-1, -1]);
  expect(loop.gauges["sockets"]).toBe(0);
  send(client, [0x41]);
  loop.turn(0);
  expect(new Set(core.asked.map(({ source }) => source)).size).toBe(2);
});

test("a client is forgotten with the last of its flows, in whatever order they go", () => {
  const client = openClient();
  const [flow, other] = [flowOf(), flowOf()];
  core.decide = (first) => (first === 0x41 ? flow : other);
  const close = (closed: Flow): void => {
    core.output = { requests: [], released: [], hints: [], closed: [closed] };
    loop.turn(0);
  };
  for (const [first, second] of [
    [flow, other],
    [other, flow],
  ] as const) {
    for (const byte of [0x42, 0x41, 0x42, 0x41]) send(client, [byte]);
    loop.turn(0);
    close(first);
    send(client, [second === flow ? 0x41 : 0x42]);
    loop.turn(0);
    expect(publicSocket.clients.size).toBe(1);
    close(second);
    expect([publicSocket.clients.size, loop.gauges["sockets"]]).toEqual([0, 0]);
  }
});

test("datagrams of many flows leave in the order of each", () => {
  const clients = Array.from({ length: 5 }, () => ({ fd: openClient(), flow: flowOf() }));
  core.decide = (_first, source) => {
    const index = clients.findIndex(({ fd }) => source.key === 0x7f00_0001 * 65_536 + portOf(fd));
    return clients[index]?.flow ?? { kind: "drop", cause: "flows" };
  };
  for (let round = 0; round < 8; round++)
    for (const { fd } of clients) send(fd, [0x40 + round], 30 + (round % 3));
  loop.turn(0);
  const byPort = Map.groupBy(receiveAll(machine), ({ port }) => port);
  expect(byPort.size).toBe(5);
  for (const datagrams of byPort.values())
    expect(datagrams.map(({ first }) => first - 0x40)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});

test("a mistake in one decision costs that datagram", () => {
  const client = openClient();
  const flow = flowOf();
  core.decide = (first) => {
    if (first === 0x42) throw new TypeError("wrong");
    return flow;
  };
  for (const first of [0x41, 0x42, 0x43]) send(client, [first]);
  loop.turn(0);
  expect(receiveAll(machine).map(({ first }) => first)).toEqual([0x41, 0x43]);
  expect(mistakes).toEqual([new TypeError("wrong")]);
  expect(counters.drops).toEqual({ internal: 1 });
});

test("what the core keeps from a client does not reach it", () => {
  const client = openClient();
  const flow = flowOf();
  core.decide = () => flow;
  send(client, [0x41]);
  loop.turn(0);
  const port = receiveAll(machine)[0]?.port ?? 0;
  core.toClient = "amplification";
  sendTo(machine, port, [1]);
  loop.turn(0);
  core.toClient = null;
  sendTo(machine, port, [2]);
  loop.turn(0);
  expect(receiveAll(client).map(({ first }) => first)).toEqual([2]);
});

test("a flow whose machine cannot be reached is closed, and its client forgotten", () => {
  const flow = flowOf("255.255.255.255");
  core.decide = () => flow;
  send(openClient(), [0x41]);
  loop.turn(0);
  expect(core.closed).toEqual([flow]);
  expect(flow.descriptor).toBe(-1);
  expect(counters.drops).toEqual({ "no-route": 1 });
});

function flowOf(address = "127.0.0.1"): Flow {
  return {
    kind: "forward",
    source: { key: 0, network: 0 },
    machineId: "",
    address,
    descriptor: -1,
  };
}

function openSocket(): number {
  const fd = openDatagramSocket(4);
  bindSocket(fd, { host: "127.0.0.1", port: 0 });
  return fd;
}

function openClient(): number {
  const fd = openSocket();
  opened.push(fd);
  return fd;
}

function portOf(fd: number): number {
  return boundAddress(fd).port;
}

/** Filled up to a length that the kernel lets in. */
function send(from: number, bytes: readonly number[], length = 30): void {
  sendTo(from, proxyPort, [...bytes, ...Array.from({ length: length - bytes.length }, () => 0)]);
}

function sendTo(from: number, port: number, bytes: readonly number[]): void {
  const memory = new Uint8Array(new ArrayBuffer(bytes.length));
  memory.set(bytes);
  const vector = new SendVector((errno) => {
    throw new Error(`errno ${errno}`);
  });
  vector.add(targetAt(port), ptr(memory), bytes.length, bytes.length);
  vector.flush(from);
}

function receiveAll(fd: number): { readonly first: number; readonly port: number }[] {
  const batch = new ReceiveBatch({ slots: 64, withSources: true });
  const all: { readonly first: number; readonly port: number }[] = [];
  while (batch.receive(fd, 64) > 0) {
    for (let slot = 0; slot < batch.count; slot++) {
      const word = batch.sourceWordAt(slot, 0);
      const port = ((word >>> 8) & 0xff00) | (word >>> 24);
      all.push({ first: batch.byteAt(batch.offsetAt(slot)), port });
    }
    batch.clear();
  }
  return all;
}

function askedOf(first: number): number {
  return core.asked.filter((asked) => asked.first === first).length;
}
