import { heapStats } from "bun:jsc";
import { quicLimits } from "../../../src/quic/limits.ts";
import { openMaster } from "../../../src/quic/proxy-master.ts";
import { proxyLimits as limits } from "../../../src/roles/proxy/limits.ts";
import type { Source } from "../../../src/roles/proxy/source.ts";
import { keyOf, machineId, master, nextMaster, RelayStage, strangersKey } from "./relay-stage.ts";

/** Brings a core to all its limits at once, by clients of IPv6, whose addresses take most. */

const rssBefore = process.memoryUsage.rss();
const stage = new RelayStage({ machines: 0, masters: [master, nextMaster], open: true });
const { core, now } = stage;

function step(ms: number): void {
  now.monotonicMs += ms;
  now.wallMs += ms;
}

function client6(number: number): Source {
  const network = `2001:db8:${(number >> 8).toString(16)}:${(number & 255).toString(16)}`;
  return { key: `[${network}:1234:5678:9abc:def0]:${10_000 + (number % 50_000)}`, network };
}

for (let machine = 0; machine < limits.machinesMax; machine++)
  core.learn(
    {
      kind: "machine",
      machineId: machineId(machine),
      state: machine % 20 === 19 ? "starting" : "started",
      address: `fdaa:0:1:a7b:${machine.toString(16)}::2`,
    },
    now,
  );
for (let machine = 0; machine < limits.goneMachinesMax; machine++)
  core.learn({ kind: "gone", machineId: machineId(1_000_000 + machine) }, now);

// Keys of all machines, for each master, and networks of clients without keys.
for (const secret of [master, nextMaster, openMaster])
  for (let machine = 0; machine < limits.machinesMax; machine++) {
    const datagram = stage.bare(machine, keyOf(machine, secret));
    core.fromClient(datagram, client6(machine), now);
    step(0.04);
  }
stage.pass(12_000);

// Tags: as many as are remembered; the flows they open are those below.
const perMachine = quicLimits.replaysPerMachineMax;
for (let machine = 0; machine * perMachine < quicLimits.replaysMax; machine++)
  for (let count = 0; count < perMachine; count++) {
    core.fromClient(stage.admission(1 + machine), client6(machine), now);
    step(0.04);
  }
stage.pass(12_000);

// Flows, confirmed, with an id each; 2000 unconfirmed ones among them.
for (let number = 0; core.gauges.flows < limits.flowsMax; number++) {
  const machine = 1 + (number % 1900) * 10;
  const decision = core.fromClient(stage.bare(machine), client6(number), now);
  if (decision.kind === "forward" && number > 2000) {
    core.fromMachine(decision, 20, 1, now);
    core.fromClient(stage.bare(machine), client6(number), now);
  }
  step(0.05);
}

// Held datagrams and hints.
for (let machine = 19; machine < limits.machinesMax; machine += 20) {
  core.fromClient(stage.admission(machine, { bytes: 6000 }), client6(machine), now);
  step(0.04);
}

// Networks with wrong tags.
const forged = stage.bare(0, strangersKey(0));
for (let number = 0; number < 3 * limits.penaltyNetworksMax; number++) {
  core.fromClient(forged, client6(number), now);
  step(0.04);
}

Bun.gc(true);
console.log(
  JSON.stringify({
    gauges: core.gauges,
    heapBytes: process.memoryUsage().heapUsed,
    objects: heapStats().objectCount,
    rssBytes: process.memoryUsage.rss() - rssBefore,
  }),
);
