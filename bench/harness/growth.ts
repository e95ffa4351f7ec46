import { growthExponent } from "./statistics.ts";
import { markdownTable, shown } from "./table.ts";
import { isInSandbox, prepareSandbox, runInSandbox } from "./sandbox.ts";

/** How cost grows with the number of something: `bun bench/growth/NAME.ts`, with `--json` for programs. */
export interface Growth {
  readonly name: string;
  /** What there is more and more of. */
  readonly of: string;
  readonly counts: readonly number[];
  readonly costs: readonly Cost[];
  /** The costs at each count, by name; the first count is first. */
  readonly measure: (counts: readonly number[]) => AsyncIterable<GrowthRow>;
}

export interface Cost {
  readonly name: string;
  readonly unit: string;
}

export interface GrowthRow {
  readonly count: number;
  readonly costs: Readonly<Record<string, number>>;
}

/** Runs it in a sandbox, prints a table with the exponent of each cost below, and ends the program. */
export async function growth({ name, of, counts, costs, measure }: Growth): Promise<never> {
  if (!isInSandbox()) process.exit(await runInSandbox());
  prepareSandbox();
  const rows: GrowthRow[] = [];
  for await (const row of measure(counts)) rows.push(row);
  const exponents = costs.map((cost) =>
    growthExponent(rows.map((row) => ({ count: row.count, cost: row.costs[cost.name] ?? 0 }))),
  );
  if (process.argv.includes("--json")) console.log(JSON.stringify({ name, rows, exponents }));
  else
    console.log(
      markdownTable(
        [of, ...costs.map((cost) => `${cost.name}, ${cost.unit}`)],
        [
          ...rows.map((row) =>
            [String(row.count)].concat(
              costs.map((cost) => shown(row.costs[cost.name] ?? Number.NaN)),
            ),
          ),
          ["grows as count to the", ...exponents.map(shown)],
        ],
      ),
    );
  process.exit(0);
}
