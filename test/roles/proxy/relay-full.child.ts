/**
 * In a network of its own, where the way to some machines is slow: brings a relay to all its limits at
 * once, by real sockets. Writes its gauges and the most memory it ever had as a line of JSON.
 */
import { readFileSync, writeSync } from "node:fs";
import { FlowSender } from "../../../bench/proxy/flow-sender.ts";
import { sealAdmission } from "../../../src/quic/admission-header.ts";
import { type AdmissionKey, deriveAdmissionKey } from "../../../src/quic/admission-key.ts";
import { quicLimits } from "../../../src/quic/limits.ts";
import { formatProxyMaster, openMaster } from "../../../src/quic/proxy-master.ts";
import { idKeys, routedId } from "../../../src/quic/routed-id.ts";
import { proxyLimits as limits } from "../../../src/roles/proxy/limits.ts";
import { encodeRelaySecrets, type RelayReport } from "../../../src/roles/proxy/relay-plan.ts";
import { openDatagramSocket } from "../../../src/system/datagram-socket.ts";
import { SocketStage } from "./socket-stage.ts";

type Master = typeof openMaster;
type Metrics = Extract<RelayReport, { kind: "metrics" }>;

const masters: readonly Master[] = [3, 4].map((epoch) => ({
  epoch,
  master: new Uint8Array(32).fill(epoch),
}));
const backendPort = 40_000;
const slowMachines = { from: 18_000, count: 64 };
const startingMachines = { from: 19_000, count: 1000 };
const flowsAtOnce = 2000;
/** Enough to have used all of the table's memory. */
const wrongNetworks = 20_000;
/** A little fewer than are checked. */
const perSecond = 28_500;
const perTurn = 200;
const turnMs = 4;
/** What a busy computer has held up is sent in a burst, but no more than this. */
const catchUpMs = 50;

let random = 0;
let sentUntilMs = 0;
let reported = (): void => undefined;

await using stage = SocketStage.start(
  { backendPort, open: true },
  {
    secrets: encodeRelaySecrets({
      masters: masters.map(formatProxyMaster).join(","),
      doorCookie: "00".repeat(8),
    }),
  },
);
const proxy = await stage.address();
const machine = await Bun.udpSocket({
  hostname: "127.9.0.1",
  port: backendPort,
  socket: {
    data: (socket, _bytes, port, host) => void socket.send(answer, port, host),
    error: () => undefined,
  },
});
const answer = new Uint8Array(20).fill(0x40);
const client = openDatagramSocket(4);
stage.learn(...Array.from({ length: limits.machinesMax }, (_, index) => recordOf(index)));
stage.learn({ kind: "synced" });
let newest: Metrics = await stage.metrics(({ gauges }) => gauges["synced"] === 1);
void follow();

// Keys of all epochs; from one address, whose flows are few. Where a busy computer has lost some, once more from
// another one: the first has sent too much by now that came to nothing.
const epochs = [...masters, openMaster];
let keysFrom = 0;
do {
  keysFrom++;
  for (const master of epochs)
    await paced(
      wrapped(senderOf(keysFrom, limits.keysPerEpochMax, (at) => bare(keyOf(at, master)), 1)),
      limits.keysPerEpochMax,
    );
} while ((await gauge("keys")) < epochs.length * limits.keysPerEpochMax && keysFrom < 19);

// Flows by ids that anybody can make; the second datagram confirms that the answer to the first came.
const flows = limits.flowsMax - slowMachines.count;
const known = senderOf(20, flows, (at) => bare(keyOf(at % 9000, openMaster)));
do await fillFlows();
while ((await gauge("flows")) < flows || (await gauge("unconfirmed_flows")) > 0);

// Networks with wrong ids, tags, and datagrams that wait.
const wrong = { ...keyOf(0, openMaster), key: new Uint8Array(32) };
await paced(wrapped(senderOf(120, wrongNetworks, () => bare(wrong))), wrongNetworks);
const [newMaster = openMaster] = masters;
const tags = wrapped(
  senderOf(100, 1024, () => new Uint8Array(1228)),
  {
    renewed: (at) => admission(keyOf(10_000 + (at % 128), newMaster), 1200),
  },
);
await paced(tags, quicLimits.replaysMax);
while ((await gauge("replay_tags")) < quicLimits.replaysMax) await paced(tags, 2000);
const held = wrapped(
  senderOf(110, startingMachines.count, () => new Uint8Array(6028)),
  { renewed: (at) => admission(keyOf(startingMachines.from + at, newMaster), 6000) },
);
// Each address several times, so that a turn has enough of them.
const slow = wrapped(
  senderOf(
    200,
    8 * slowMachines.count,
    (at) => bare(keyOf(slowMachines.from + (at % slowMachines.count), openMaster), 1200),
    slowMachines.count,
  ),
);
const isHeldFull = (): boolean => (newest.gauges["held_bytes"] ?? 0) >= limits.heldBytesMax - 6028;
// Nothing is held for long, and flows that were long silent make room: where this takes so long, all begin again.
do {
  await fillFlows();
  do {
    for (let sent = 0; sent < startingMachines.count; sent += 50) await paced(held, 50);
    await gauge("held_bytes");
  } while (!isHeldFull());
  do await paced(slow, 20_000);
  while ((await gauge("upstream_queued_bytes")) < limits.upstreamQueuesBytesMax - 1200);
} while (!isHeldFull() || (newest.gauges["flows"] ?? 0) < limits.flowsMax);
writeSync(1, JSON.stringify({ gauges: newest.gauges, bytesMost: bytesMost() }));
machine.close();
process.exit(0);

async function fillFlows(): Promise<void> {
  for (let from = 0; from < flows; from += flowsAtOnce) {
    const some = Math.min(flowsAtOnce, flows - from);
    for (let round = 0; round < 2; round++) {
      await paced(wrapped(known, { from, count: some }), some);
      await Bun.sleep(turnMs);
    }
  }
}

function recordOf(index: number) {
  const isStarting = index >= startingMachines.from;
  const isSlow = index >= slowMachines.from && index < slowMachines.from + slowMachines.count;
  return {
    kind: "machine",
    machineId: machineIdOf(index),
    state: isStarting ? "starting" : "started",
    address: isSlow ? "10.9.0.2" : "127.9.0.1",
  } as const;
}

function machineIdOf(index: number): string {
  return (0x148e21ea7e0000 + index).toString(16);
}

function keyOf(index: number, { epoch, master }: Master): AdmissionKey {
  return deriveAdmissionKey(master, epoch, machineIdOf(index));
}

function bare(key: AdmissionKey, length = 30): Uint8Array {
  const datagram = new Uint8Array(length);
  datagram[0] = 0x40;
  datagram.set(routedId(key, idKeys(key), new Uint8Array(7)), 1);
  return datagram;
}

function admission(key: AdmissionKey, length: number): Uint8Array {
  const datagram = new Uint8Array(length);
  datagram.set([0xc3, 0, 0, 0, 1, 16]);
  random++;
  const bytes = new Uint8Array([random >> 16, random >> 8, random]);
  return sealAdmission(key, datagram, Math.floor(Date.now() / 1000), bytes);
}

/** Each from an address of its own, or from so many of them, from 127.`group`.0.0 on. */
function senderOf(
  group: number,
  count: number,
  payload: (at: number) => Uint8Array,
  addresses: number = count,
): FlowSender {
  const sources = Array.from({ length: count }, (_, index) => {
    const at = index % addresses;
    return `127.${group + (at >> 16)}.${(at >> 8) & 255}.${at & 255}`;
  });
  const sender = new FlowSender(sources, payload(0).byteLength, proxy);
  for (let at = 0; at < count; at++) sender.payload(at).set(payload(at));
  return sender;
}

/** Sends so many more of these, from the first again after the last. */
function wrapped(
  sender: FlowSender,
  {
    from: first = 0,
    count: all = sender.flows,
    renewed,
  }: {
    readonly from?: number;
    readonly count?: number;
    readonly renewed?: (at: number) => Uint8Array;
  } = {},
): (most: number) => number {
  let next = 0;
  return (most) => {
    const some = Math.min(most, all - next);
    if (renewed !== undefined)
      for (let at = 0; at < some; at++) sender.payload(first + next + at).set(renewed(next + at));
    const sent = sender.send(client, first + next, some);
    next = (next + sent) % all;
    return sent;
  };
}

/** As fast as they are checked, so that none is dropped unseen. */
async function paced(send: (most: number) => number, most: number): Promise<void> {
  for (let sent = 0; sent < most;) {
    sent += send(Math.min(perTurn, most - sent));
    const now = performance.now();
    sentUntilMs = Math.max(sentUntilMs, now - catchUpMs) + (1000 * perTurn) / perSecond;
    if (sentUntilMs - now > turnMs) await Bun.sleep(turnMs);
  }
}

async function follow(): Promise<void> {
  for (;;) {
    newest = await stage.metrics(() => true);
    reported();
  }
}

/** By the next report. */
async function gauge(name: string): Promise<number> {
  await new Promise<void>((resolve) => {
    reported = resolve;
  });
  return newest.gauges[name] ?? 0;
}

function bytesMost(): number {
  const status = readFileSync(`/proc/${stage.child.pid}/status`, "latin1");
  return 1024 * Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1]);
}
