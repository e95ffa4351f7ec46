/**
 * What it costs to go through the proxy, next to nginx's UDP stream module and socat: `bun bench/proxy.ts`.
 * Clients and backend are one process on one processor, the proxy has the other; all on loopback.
 * `FV_BENCH_PART=0.25` takes a quarter of the time.
 */
import { readFileSync } from "node:fs";
import { measureFlood } from "./proxy/flood-run.ts";
import { LoadProcess } from "./proxy/load-process.ts";
import { openOurs } from "./proxy/ours.ts";
import { openNginx, openSocat } from "./proxy/peers.ts";
import { backend, type Subject } from "./proxy/subject.ts";

interface Run {
  readonly perSecond: number;
  readonly cpuUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly flowBytes: number;
  readonly kernelFlowBytes: number;
}

const part = Number(process.env["FV_BENCH_PART"]) || 1;
const rounds = 3;
/** As `load.ts` opens before memory is looked at, so that what the program itself takes is there. */
const warmFlows = 64;
const flowCounts = (process.env["FV_BENCH_FLOWS"] ?? "1,100,10000").split(",").map(Number);

async function measure(subject: Subject | null, flows: number): Promise<Run> {
  const target = subject?.address ?? backend;
  await using load = new LoadProcess({ target, flows, seconds: 2 * part });
  await load.next();
  const before = [subject?.residentBytes() ?? 0, kernelBytes()] as const;
  await load.next();
  const after = [subject?.residentBytes() ?? 0, kernelBytes()] as const;
  const cpu = subject?.cpuSeconds() ?? 0;
  const { perSecond = 0, arrived = 1 } = await load.next();
  const cpuUs = (((subject?.cpuSeconds() ?? 0) - cpu) / arrived) * 1e6;
  const { p50 = 0, p99 = 0 } = await load.next();
  return {
    perSecond,
    cpuUs,
    p50Us: p50,
    p99Us: p99,
    flowBytes: (after[0] - before[0]) / (flows - warmFlows),
    kernelFlowBytes: (after[1] - before[1]) / (flows - warmFlows),
  };
}

/** What the kernel has for sockets and what hangs on them, of the whole machine. */
function kernelBytes(): number {
  const names = /^(UDP|sock_inode_cache|filp|eventpoll_epi|eventpoll_pwq|dentry) /;
  return readFileSync("/proc/slabinfo", "latin1")
    .split("\n")
    .filter((line) => names.test(line))
    .map((line) => line.split(/\s+/).map(Number))
    .reduce((sum, [, active = 0, , objectBytes = 0]) => sum + active * objectBytes, 0);
}

const subjects = [
  ["direct", async () => null],
  ["fly-vault", async (flows: number) => openOurs(flows)],
  ["nginx", async () => openNginx()],
  ["socat", async () => openSocat()],
] as const;

for (const flows of flowCounts) {
  const runs = new Map<string, Run[]>();
  for (let round = 0; round < rounds; round++) {
    for (const [name, open] of subjects) {
      // A process for each flow.
      if (name === "socat" && flows > 100) continue;
      const subject = await open(flows);
      const isMissing = subject === null && name !== "direct";
      if (isMissing) console.error(`${name}: skipped, no libnginx-mod-stream or socat here`);
      if (isMissing) continue;
      const run = await measure(subject, flows);
      runs.set(name, [...(runs.get(name) ?? []), run]);
      await subject?.close();
    }
  }
  print(flows, runs);
}

const floodSeconds = 10 * part;
const flood = await measureFlood(floodSeconds, 100_000);
console.log(
  `\n100 flows beside ${flood.floodPerSecond.toFixed(0)} forged admissions/s ` +
    `(which take ${flood.floodCpus.toFixed(2)} processors to send), ${floodSeconds} s each`,
);
printTable(
  ["", "of 100 000/s", "proxy CPUs", "most/s", "p50 us", "p99 us"],
  (["calm", "beside"] as const).map((name) => {
    const health = flood[name];
    return [
      name,
      `${(100 * health.arrivedPart).toFixed(1)} %`,
      health.proxyCpus.toFixed(2),
      health.perSecond.toFixed(0),
      health.p50Us.toFixed(1),
      health.p99Us.toFixed(1),
    ];
  }),
);

function printTable(heads: readonly string[], rows: readonly (readonly string[])[]): void {
  for (const row of [heads, ...rows])
    console.log(
      row.map((cell, column) => (column === 0 ? cell.padEnd(10) : cell.padStart(14))).join(""),
    );
}

function print(flows: number, runs: ReadonlyMap<string, readonly Run[]>): void {
  const medians = new Map([...runs].map(([name, list]) => [name, medianOf(list)]));
  const direct = medians.get("direct");
  const nginx = medians.get("nginx");
  console.log(`\n${flows} flows, 1200-byte datagrams, medians of ${rounds}`);
  const rows = [...medians].map(([name, run]) => [
    name,
    run.perSecond.toFixed(0),
    nginx === undefined ? "" : (run.perSecond / nginx.perSecond).toFixed(2),
    run.cpuUs.toFixed(2),
    (run.p50Us - (name === "direct" ? 0 : (direct?.p50Us ?? 0))).toFixed(1),
    (run.p99Us - (name === "direct" ? 0 : (direct?.p99Us ?? 0))).toFixed(1),
    flows < 1000 ? "" : run.flowBytes.toFixed(0),
    flows < 1000 ? "" : run.kernelFlowBytes.toFixed(0),
  ]);
  printTable(
    [
      "",
      "datagrams/s",
      "to nginx",
      "CPU us each",
      "added p50 us",
      "p99 us",
      "bytes a flow",
      "in kernel",
    ],
    rows,
  );
}

function medianOf(runs: readonly Run[]): Run {
  const middle = (of: (run: Run) => number): number =>
    runs.map(of).toSorted((one, other) => one - other)[Math.floor(runs.length / 2)] ?? Number.NaN;
  return {
    perSecond: middle((run) => run.perSecond),
    cpuUs: middle((run) => run.cpuUs),
    p50Us: middle((run) => run.p50Us),
    p99Us: middle((run) => run.p99Us),
    flowBytes: middle((run) => run.flowBytes),
    kernelFlowBytes: middle((run) => run.kernelFlowBytes),
  };
}
