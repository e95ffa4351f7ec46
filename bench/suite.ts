/**
 * How we stand beside what a user would pick instead: `bun bench/suite.ts`, or with the names of some rows.
 * `--json` prints the same for programs, with the value of every round.
 */
import { fileURLToPath } from "node:url";
import { childEnv } from "../src/system/child-env.ts";
import { type Figure, ratioOf, verdictOf } from "./harness/figure.ts";
import { describeHost } from "./harness/host.ts";
import { figureTable } from "./harness/table.ts";

/** In the order of the table. */
const allRows = [
  "exec-cold",
  "exec-warm",
  "start",
  "idle",
  "keystroke",
  "busy",
  "resume",
  "stream",
  "forward",
  "ssh-door",
  "lossy",
  "copy",
  "provision",
  "reprovision",
  "proxy",
] as const;

interface RowResult {
  readonly row: string;
  readonly figures: readonly Figure[];
  readonly seconds: number;
  /** Why it has no figures. */
  readonly failure?: string;
}

const asJson = process.argv.includes("--json");
const wanted = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const strangers = wanted.filter((name) => !(allRows as readonly string[]).includes(name));
if (strangers.length > 0) {
  console.error(`error: no such row: ${strangers.join(", ")}; there are ${allRows.join(", ")}`);
  process.exit(2);
}

const before = describeHost();
const results: RowResult[] = [];
for (const row of wanted.length > 0 ? wanted : allRows) {
  process.stderr.write(`${row} … `);
  const result = await measureRow(row);
  process.stderr.write(`${result.failure ?? "measured"} (${result.seconds.toFixed(0)} s)\n`);
  results.push(result);
}
const figures = results.flatMap((result) => result.figures);
const failures = results.filter((result) => result.failure !== undefined);
const load = { before: before.load, after: describeHost().load };
if (asJson) {
  const judged = figures.map((figure) => {
    const ratio = ratioOf(figure);
    return { ...figure, ratio: Number.isNaN(ratio) ? null : ratio, verdict: verdictOf(figure) };
  });
  console.log(JSON.stringify({ host: before, load, figures: judged, failures }, null, 2));
} else {
  console.log(figureTable(figures));
  for (const { row, failure } of failures) console.log(`${row}: ${failure}`);
  console.log(`\n${before.text}\nLoad before: ${load.before}; after: ${load.after}`);
}
process.exit(failures.length > 0 ? 1 : 0);

async function measureRow(row: string): Promise<RowResult> {
  const startMs = performance.now();
  const file = fileURLToPath(new URL(`${row}.ts`, import.meta.url));
  const child = Bun.spawn([process.execPath, file, "--json"], {
    env: childEnv(process.env),
    stdio: ["ignore", "pipe", "inherit"],
  });
  const stop = (): void => child.kill("SIGTERM");
  process.on("SIGINT", stop).on("SIGTERM", stop);
  const [text, code] = await Promise.all([child.stdout.text(), child.exited]);
  process.off("SIGINT", stop).off("SIGTERM", stop);
  const seconds = (performance.now() - startMs) / 1000;
  if (child.signalCode !== null || code > 128) process.exit(130);
  if (code !== 0) return { row, figures: [], seconds, failure: `failed with ${code}` };
  return { row, figures: JSON.parse(text) as Figure[], seconds };
}
