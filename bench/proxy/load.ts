/**
 * Clients and backend of a proxy in one process: `bun bench/proxy/load.ts JSON`. It says a line of JSON
 * after each step and waits for a line before the next.
 */
import { readSync, writeSync } from "node:fs";
import { deriveAdmissionKey } from "../../src/quic/admission-key.ts";
import { idKeys, routedId } from "../../src/quic/routed-id.ts";
import {
  bindSocket,
  openDatagramSocket,
  setBufferBytes,
  setSocketOption,
  socketOptions,
} from "../../src/system/datagram-socket.ts";
import { ReceiveBatch } from "../../src/system/receive-batch.ts";
import { SendVector, type SendTarget } from "../../src/system/send-vector.ts";
import { FlowSender } from "./flow-sender.ts";
import { flowAddress, type LoadPlan, machineIdOf, machinesOf } from "./load-plan.ts";

const plan: LoadPlan = JSON.parse(process.argv[2] ?? "");
const clients = openSocket("0.0.0.0", 0);
const backend = openSocket(plan.backend.host, plan.backend.port);
const sources = Array.from({ length: plan.flows }, (_, flow) => flowAddress(flow));
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
measureRate(warmFlows);
say({ step: "warm" });
openFlows(warmFlows, plan.flows);
say({ step: "open" });
say({ step: "rate", ...measureRate(plan.flows) });
say({ step: "latency", ...measureLatency() });

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

/** As many as get through with a bounded number on their way. */
function measureRate(flows: number): Record<string, number> {
  setEcho(false);
  const start = performance.now();
  const end = start + plan.seconds * 1000;
  let [sent, arrived, flow, lost, progressAt] = [0, 0, 0, 0, start];
  let now = start;
  while (now < end) {
    if (sent - arrived - lost < plan.window) {
      const count = Math.min(32, flows - flow);
      const went = sender.send(clients, flow, count);
      sent += went;
      flow = (flow + went) % flows;
    }
    const got = takeArrivals();
    arrived += got;
    now = performance.now();
    if (got > 0) {
      progressAt = now;
    } else if (now - progressAt > 20) {
      lost = sent - arrived;
      progressAt = now;
    }
  }
  return { perSecond: arrived / ((now - start) / 1000), arrived, lost };
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
  for (let flow = 0; flow < plan.flows; flow++)
    sender.payloads[flow * plan.datagramBytes + 24] = Number(echo);
}

function fillPayloads(): void {
  const master = Uint8Array.fromHex(plan.master);
  const keys = Array.from({ length: machinesOf(plan.flows) }, (_, machine) => {
    const key = deriveAdmissionKey(master, plan.epoch, machineIdOf(machine));
    return { key, ids: idKeys(key) };
  });
  for (let flow = 0; flow < plan.flows; flow++) {
    const payload = sender.payload(flow);
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
