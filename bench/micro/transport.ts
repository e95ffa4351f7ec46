/**
 * How fast bytes move, next to the package's own classes: `bun bench/micro/transport.ts`.
 * The two ends are two processes on loopback. `PART=0.25` moves a quarter of the bytes.
 */
import { openOurs } from "../transport/ours.ts";
import { openPackage } from "../transport/package-classes.ts";
import type { Direction, Subject } from "../transport/subject.ts";

interface Row {
  readonly name: string;
  readonly handshakeMs: number;
  /** Megabytes (10^6) a second: one stream up, one down, eight up, eight down. */
  readonly rates: readonly number[];
  readonly cpuSecondsPerGb: number;
}

const part = Number(process.env["PART"]) || 1;
const rounds = 3;
const cases: readonly (readonly [number, Direction])[] = [
  [1, "up"],
  [1, "down"],
  [8, "up"],
  [8, "down"],
];

async function measure(subject: Subject): Promise<Row> {
  const handshakes: number[] = [];
  for (let count = 0; count < 11; count++) {
    const start = performance.now();
    await subject.connect();
    handshakes.push(performance.now() - start);
  }
  const total = Math.ceil(subject.megabytes * part) * 1e6;
  const rates: number[] = [];
  let moved = 0;
  const cpu = subject.cpuSeconds();
  for (const [streams, direction] of cases) {
    let best = 0;
    for (let round = 0; round < rounds; round++) {
      const start = performance.now();
      await subject.transfer(direction, streams, Math.ceil(total / streams));
      best = Math.max(best, total / 1e3 / (performance.now() - start));
      moved += total;
    }
    rates.push(best);
  }
  const cpuSecondsPerGb = (subject.cpuSeconds() - cpu) / (moved / 1e9);
  const handshakeMs = handshakes.toSorted((a, b) => a - b)[5] ?? Number.NaN;
  return { name: subject.name, handshakeMs, rates, cpuSecondsPerGb };
}

const openers: readonly (readonly [string, () => Promise<Subject>])[] = [
  ["fly-vault", () => openOurs("fly-vault, 1200-byte datagrams", {})],
  ["fly-vault 1350", () => openOurs("fly-vault, 1350", { datagramBytesMax: 1350 })],
  ["fly-vault 8000", () => openOurs("fly-vault, 8000", { datagramBytesMax: 8000 })],
  ["package", openPackage],
];

const rows: Row[] = [];
for (const [name, open] of openers) {
  try {
    await using subject = await open();
    rows.push(await measure(subject));
  } catch (error) {
    console.error(`${name}: failed, ${String(error)}`);
  }
}

const cells = rows.map((row) => [
  row.name,
  row.handshakeMs.toFixed(1),
  ...row.rates.map((rate) => rate.toFixed(1)),
  row.cpuSecondsPerGb.toFixed(1),
]);
const heads = ["", "connect ms", "1 up MB/s", "1 down", "8 up", "8 down", "CPU s/GB"];
const widths = heads.map((head, column) =>
  Math.max(head.length, ...cells.map((line) => line[column]?.length ?? 0)),
);
for (const line of [heads, ...cells]) {
  console.log(
    line
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join("  "),
  );
}
const [ours] = rows;
for (const other of rows.slice(1)) {
  const ratios = other.rates.map((rate, at) => ((ours?.rates[at] ?? 0) / rate).toFixed(2));
  const cpu = (other.cpuSecondsPerGb / (ours?.cpuSecondsPerGb ?? 1)).toFixed(2);
  console.log(
    `first row against ${other.name}: ${ratios.join(", ")} times as fast; it uses ${cpu} times our CPU per byte`,
  );
}
process.exit(0);
