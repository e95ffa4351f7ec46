import type { Figure } from "./figure.ts";
import { isInSandbox, prepareSandbox, runInSandbox } from "./sandbox.ts";
import { figureTable } from "./table.ts";

/** A row of the table, or a few: `bun bench/NAME.ts`, with `--json` for programs, `ROUNDS=20`, `PART=0.1`. */
export interface Benchmark {
  readonly name: string;
  /** Enough for a median that holds on a machine with other work. */
  readonly rounds: number;
  readonly measure: (run: Run) => Promise<readonly Measured[]>;
}

export interface Run {
  readonly rounds: number;
  /** Of the bytes and files that are moved in full, from 0 to 1. */
  readonly part: number;
}

export type Measured = Omit<Figure, "row">;

/** Runs it in a sandbox, prints, and ends the program. */
export async function benchmark({ name, rounds, measure }: Benchmark): Promise<never> {
  if (!isInSandbox()) process.exit(await runInSandbox());
  prepareSandbox();
  const measured = await measure({
    rounds: Number(process.env["ROUNDS"]) || rounds,
    part: Number(process.env["PART"]) || 1,
  });
  const figures = measured.map((figure): Figure => Object.assign({ row: name }, figure));
  console.log(process.argv.includes("--json") ? JSON.stringify(figures) : figureTable(figures));
  process.exit(0);
}
