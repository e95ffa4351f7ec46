/**
 * Clients and backend of a proxy in one process: `bun bench/proxy/load.ts JSON`. It says a line of JSON
 * after each step and waits for a line before the next.
 */
import { readFileSync, readSync, writeSync } from "node:fs";
import { deriveAdmissionKey } from "../../src/quic/admission-key.ts";
import { idKeys, routedId } from "../../src/quic/routed-id.ts";
import {
  bindSocket,
  openDatagramSocket,
  setBufferBytes,
  setSocketOption,
  socketOptions,
} from "../../src/system/datagram-socket.ts";
import { attachFilter, detachFilter, filterCodes } from "../../src/system/packet-filter.ts";
import { ReceiveBatch } from "../../src/system/receive-batch.ts";
import { SendVector, type SendTarget } from "../../src/system/send-vector.ts";
import { FlowSender } from "./flow-sender.ts";
import { flowAddress, type LoadPlan, machineIdOf, machinesOf } from "./load-plan.ts";

const plan: LoadPlan = JSON.parse(process.argv[2] ?? "");
const clients = openSocket("0.0.0.0", 0);
const backend = openSocket(plan.backend.host, plan.backend.port);
/** A few flows are there several times, so that one system call always has enough to send. */
const copies = Math.ceil(64 / plan.flows);
const slots = plan.flows * copies;
const sources = Array.from({ length: slots }, (_, slot) => flowAddress(slot % plan.flows));
const sender = new FlowSender(sources, plan.datagramBytes, plan.target);
const view = new DataView(sender.payloads.buffer);
fillPayloads();

const arrivals = new ReceiveBatch({ slots: 64, withSources: true });
const replies = new ReceiveBatch({ slots: 64, withSources: false });
const echoes = new SendVector(() => undefined);
let returned = 0;
const roundTripsUs: number[] = [];

const warmFlows = Math.min(plan.flows, 64);
openFlows(0, warmFlows);
measureRate(Math.max(64, warmFlows));
say({ step: "warm" });
openFlows(warmFlows, plan.flows);
say({ step: "open" });
say({ step: "rate", ...measureRate(slots) });
say({ step: "latency", ...measureLatency() });
// Alone, then beside whatever else there is by then.
for (const step of ["calm", "beside"]) {
  say({ step, ...measureRate(slots, plan.healthyPerSecond) });
  say({ step, ...measureRate(slots) });
  say({ step, ...measureLatency() });
}

/** Every flow there and back twice: then nobody doubts that the client is where it says. */
function openFlows(first: number, end: number): void {
  setEcho(true);
  for (let from = first; from < end; from += 1000) {
    const count = Math.min(1000, end - from);
    for (let round = 0; round < 2; round++) {
      returned = 0;
      for (let flow = from; flow < from + count; flow += 50) {
        send(flow, Math.min(50, from + count - flow));
        const due = returned + 0;
        pump(() => returned > due, 20);
      }
      pump(() => returned >= count, 3000);
      if (returned < count) process.stderr.write(`only ${returned} of ${count} flows\n`);
    }
  }
}

/**
 * All that the proxy can carry, by offering it more. The backend's socket throws them away uncounted, and
 * the kernel tells how many: so the receiving end takes nothing from the sending one.
 */
function measureRate(used: number, offeredMax = Number.POSITIVE_INFINITY): Record<string, number> {
  setEcho(false);
  attachFilter(backend, [[filterCodes.result, 0, 0, 0]]);
  // What comes joined would be counted as one.
  setSocketOption(backend, socketOptions.joinReceived, 0);
  const before = droppedAt(plan.backend.port);
  const start = performance.now();
  const end = start + plan.seconds * 1000;
  let [slot, offered] = [0, 0];
  let now = start;
  while (now < end) {
    for (let burst = 0; burst < 8; burst++) {
      if (offered > ((now - start) / 1000) * offeredMax) break;
      const went = sender.send(clients, slot, Math.min(64, used - slot));
      offered += went;
      slot = (slot + went) % used;
    }
    now = performance.now();
  }
  const arrived = droppedAt(plan.backend.port) - before;
  Bun.sleepSync(200);
  detachFilter(backend);
  setSocketOption(backend, socketOptions.joinReceived, 1);
  return {
    perSecond: arrived / ((now - start) / 1000),
    arrived,
    offeredPerSecond: offered / ((now - start) / 1000),
  };
}

function droppedAt(port: number): number {
  const local = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const lines = readFileSync("/proc/net/udp", "latin1").split("\n");
  const fields = lines.map((line) => line.trim().split(/\s+/));
  return Number(fields.find(([, address]) => address?.endsWith(local))?.at(-1));
}

/** Datagrams there and back, one each few microseconds. */
function measureLatency(): Record<string, number> {
  setEcho(true);
  roundTripsUs.length = 0;
  const start = performance.now();
  const intervalMs = 1000 / plan.pacedPerSecond;
  let flow = 0;
  for (let sent = 0; sent < plan.pacedPerSecond * plan.seconds; sent++) {
    const dueAt = start + sent * intervalMs;
    while (performance.now() < dueAt) pumpOnce();
    view.setFloat64(flow * plan.datagramBytes + 32, performance.now(), true);
    sender.send(clients, flow, 1);
    flow = (flow + 1) % plan.flows;
  }
  pump(() => false, 50);
  const sorted = Float64Array.from(roundTripsUs).toSorted();
  const at = (part: number): number => sorted[Math.floor(sorted.length * part)] ?? Number.NaN;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99) };
}

function send(flow: number, count: number): void {
  for (let gone = 0; gone < count;) gone += sender.send(clients, flow + gone, count - gone);
}

function pump(until: () => boolean, limitMs: number): void {
  const end = performance.now() + limitMs;
  while (!until() && performance.now() < end) pumpOnce();
}

function pumpOnce(): void {
  takeArrivals();
  if (replies.receive(clients, 64) > 0) {
    for (let slot = 0; slot < replies.count; slot++) {
      const segment = replies.segmentBytesAt(slot);
      const from = replies.offsetAt(slot);
      for (let at = 0; at < replies.bytesAt(slot); at += segment) {
        returned++;
        const sentAt = timeOf(replies.viewAt(from + at, segment));
        if (sentAt > 0) roundTripsUs.push((performance.now() - sentAt) * 1000);
      }
    }
  }
  replies.clear();
}

function timeOf(datagram: Uint8Array): number {
  return new DataView(datagram.buffer, datagram.byteOffset).getFloat64(32, true);
}

/** Counts them, and sends those back that ask for it. */
function takeArrivals(): number {
  let datagrams = 0;
  arrivals.receive(backend, 64);
  for (let slot = 0; slot < arrivals.count; slot++) {
    const [bytes, segment] = [arrivals.bytesAt(slot), arrivals.segmentBytesAt(slot)];
    datagrams += Math.ceil(bytes / segment);
    if (arrivals.byteAt(arrivals.offsetAt(slot) + 24) === 0) continue;
    echoes.add(sourceOf(slot), arrivals.addressAt(arrivals.offsetAt(slot)), bytes, segment);
  }
  if (!echoes.isEmpty && !echoes.flush(backend)) echoes.eachUnsent(() => undefined);
  arrivals.clear();
  return datagrams;
}

function sourceOf(slot: number): SendTarget {
  return {
    prefixAddress: 0,
    prefixBytes: 0,
    writeAddress: (words, at) => {
      for (let word = 0; word < 4; word++) words[at + word] = arrivals.sourceWordAt(slot, word);
      return 16;
    },
  };
}

function setEcho(echo: boolean): void {
  for (let slot = 0; slot < slots; slot++)
    sender.payloads[slot * plan.datagramBytes + 24] = Number(echo);
}

function fillPayloads(): void {
  const master = Uint8Array.fromHex(plan.master);
  const keys = Array.from({ length: machinesOf(plan.flows) }, (_, machine) => {
    const key = deriveAdmissionKey(master, plan.epoch, machineIdOf(machine));
    return { key, ids: idKeys(key) };
  });
  for (let slot = 0; slot < slots; slot++) {
    const flow = slot % plan.flows;
    const payload = sender.payload(slot);
    payload[0] = 0x40;
    const made = keys[flow % keys.length];
    if (made === undefined) continue;
    const random = new Uint8Array(7);
    new DataView(random.buffer).setUint32(3, flow);
    payload.set(routedId(made.key, made.ids, random), 1);
  }
}

function openSocket(host: string, port: number): number {
  const fd = openDatagramSocket(4);
  setBufferBytes(fd, 16 << 20, 16 << 20);
  setSocketOption(fd, socketOptions.joinReceived, 1);
  bindSocket(fd, { host, port });
  return fd;
}

function say(step: Readonly<Record<string, unknown>>): void {
  writeSync(1, `${JSON.stringify(step)}\n`);
  readSync(0, new Uint8Array(1));
}
