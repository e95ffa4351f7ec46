/**
 * Forged admissions from many addresses, so many a second: `bun bench/proxy/flood.ts JSON`. Each has a tag
 * of its own, and all are wrong. Says on its standard output how many went and what that cost.
 */
import { writeSync } from "node:fs";
import { openDatagramSocket, setBufferBytes } from "../../src/system/datagram-socket.ts";
import { seededRandom, randomBytes } from "../../test/support/seed.ts";
import { FlowSender } from "./flow-sender.ts";
import { flowAddress, machineIdOf } from "./load-plan.ts";

const plan: {
  readonly target: { readonly host: string; readonly port: number };
  readonly perSecond: number;
  readonly seconds: number;
  readonly epoch: number;
} = JSON.parse(process.argv[2] ?? "");
const slots = 8192;
const socket = openDatagramSocket(4);
setBufferBytes(socket, 1 << 20, 8 << 20);
const sources = Array.from({ length: slots }, (_, slot) => flowAddress(slot + 65_536));
const sender = new FlowSender(sources, 1228, plan.target);
const random = seededRandom(1);
for (let slot = 0; slot < slots; slot++) {
  const datagram = sender.payload(slot);
  datagram.set(randomBytes(random, 64));
  datagram.set([0x0b, plan.epoch]);
  // Machines that are there: those that are not cost the proxy as much.
  datagram.set(Uint8Array.fromHex(machineIdOf(slot % 4)), 2);
  new DataView(datagram.buffer, datagram.byteOffset).setUint32(9, Math.floor(Date.now() / 1000));
}
const start = performance.now();
let sent = 0;
let slot = 0;
while (performance.now() - start < plan.seconds * 1000) {
  const due = ((performance.now() - start) / 1000) * plan.perSecond;
  if (sent >= due) {
    Bun.sleepSync(0.2);
    continue;
  }
  const went = sender.send(socket, slot, Math.min(32, slots - slot));
  sent += went;
  slot = (slot + went) % slots;
}
const { user, system } = process.cpuUsage();
writeSync(1, JSON.stringify({ sent, cpuSeconds: (user + system) / 1e6 }));
