/**
 * What the proxy's relay decides about a datagram, without any socket: `bun bench/micro/relay-core.ts`.
 * Nanoseconds a datagram, best of five rounds, and bytes of the heap that each leaves.
 */
import { proxyLimits } from "../../src/roles/proxy/limits.ts";
import { client, RelayStage, strangersKey } from "../../test/roles/proxy/relay-stage.ts";

const part = Number(process.env["PART"]) || 1;
const rounds = 5;

interface Row {
  readonly name: string;
  readonly count: number;
  /** One datagram, the `at`th. */
  readonly run: (at: number) => string;
  readonly expected: string;
}

const machines = 1000;
const stage = new RelayStage({ machines });
const { core, now } = stage;

const known = Array.from({ length: machines }, (_, machine) => {
  const source = client(1, machine);
  const flow = stage.confirmed(machine, source);
  const datagram = stage.bare(machine);
  core.fromClient(datagram, source, now);
  return { datagram, flow, source };
});

function knownAt(at: number) {
  const one = known[at % machines];
  if (one === undefined) throw new RangeError("no such client");
  return one;
}

function decided(datagram: Uint8Array, source: ReturnType<typeof client>): string {
  const decision = core.fromClient(datagram, source, now);
  return decision.kind === "drop" ? decision.cause : decision.kind;
}

/** Slowly enough that the budget of checks is not what is measured. */
function pass(ms: number): void {
  now.monotonicMs += ms;
}

const forgedTag = stage.admission(0);
forgedTag[16] = (forgedTag[16] ?? 0) ^ 1;
const unknownTag = stage.admission(5000, { key: strangersKey(5000) });
const forgedId = stage.bare(0, strangersKey(0), 1200);
const rows: readonly Row[] = [
  {
    name: "of a known client",
    count: 2_000_000,
    expected: "forward",
    run: () => {
      pass(0.06);
      const { datagram, source } = knownAt(0);
      return decided(datagram, source);
    },
  },
  {
    name: "of 1000 known clients in turn",
    count: 2_000_000,
    expected: "forward",
    run: (at) => {
      pass(0.001);
      const { datagram, source } = knownAt(at);
      return decided(datagram, source);
    },
  },
  {
    name: "of a machine, for a known client",
    count: 2_000_000,
    expected: "forward",
    run: (at) => {
      pass(0.001);
      return core.fromMachine(knownAt(at).flow, 1200, 1, now) ?? "forward";
    },
  },
  {
    name: "forged tag, a machine that somebody uses",
    count: 200_000,
    expected: "bad-tag",
    run: (at) => {
      pass(0.1);
      return decided(forgedTag, client(2, at));
    },
  },
  {
    name: "forged tag, any machine",
    count: 200_000,
    expected: "bad-tag",
    run: (at) => {
      pass(0.1);
      unknownTag[7] = at;
      unknownTag[8] = at >> 8;
      return decided(unknownTag, client(2, at));
    },
  },
  {
    name: "forged id",
    count: 400_000,
    expected: "bad-id",
    run: (at) => {
      pass(0.1);
      forgedId[12] = at;
      forgedId[13] = at >> 8;
      return decided(forgedId, client(2, at));
    },
  },
  {
    name: "forged id, in a flood",
    count: 2_000_000,
    expected: "pressure",
    run: (at) => {
      if (at === 0)
        for (let count = 0; count < proxyLimits.checksBurst; count++)
          core.fromClient(forgedId, client(3, count), now);
      return decided(forgedId, client(2, at));
    },
  },
];

function measure({ name, count, run, expected }: Row): readonly string[] {
  const datagrams = Math.ceil(count * part);
  let [bestNs, heapBytes] = [Number.POSITIVE_INFINITY, 0];
  for (let round = 0; round < rounds; round++) {
    Bun.gc(true);
    const before = process.memoryUsage().heapUsed;
    const startedMs = performance.now();
    for (let at = 0; at < datagrams; at++)
      if (run(at) !== expected) throw new Error(`${name}: not ${expected}`);
    bestNs = Math.min(bestNs, ((performance.now() - startedMs) * 1e6) / datagrams);
    heapBytes = (process.memoryUsage().heapUsed - before) / datagrams;
  }
  return [name, bestNs.toFixed(0), Math.max(0, heapBytes).toFixed(1)];
}

const table = [["datagram", "ns", "heap bytes"], ...rows.map(measure)];
const widths = [0, 1, 2].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
for (const row of table)
  console.log(row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "));
