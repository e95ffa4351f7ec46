import type { Measured } from "./benchmark.ts";
import type { Goal } from "./figure.ts";

/** What one turn of a subject gave, by name. */
export type Metrics = Readonly<Record<string, number>>;

/** Takes a turn; null where it is not installed. */
export type Subject = (() => Promise<Metrics>) | null;

/** What a figure is but its numbers. */
export interface Comparison {
  readonly what: string;
  readonly peer: string;
  readonly metric: string;
  readonly unit: string;
  readonly better: "lower" | "higher";
  readonly goal?: Goal;
}

/**
 * Subjects take turns, so that all meet the same weather; every other round in the opposite order, so
 * that none is always the one behind another.
 */
export async function interleave(
  rounds: number,
  subjects: Readonly<Record<string, Subject>>,
): Promise<Samples> {
  const present = Object.entries(subjects).flatMap(([name, turn]) =>
    turn === null ? [] : [{ name, turn, metrics: [] as Metrics[] }],
  );
  for (let round = 0; round < rounds; round++)
    for (const { turn, metrics } of round % 2 === 0 ? present : present.toReversed())
      metrics.push(await turn());
  return new Samples(new Map(present.map(({ name, metrics }) => [name, metrics])));
}

/** By subject, with the metrics of each turn. */
export class Samples {
  readonly #turns: ReadonlyMap<string, readonly Metrics[]>;

  constructor(turns: ReadonlyMap<string, readonly Metrics[]>) {
    this.#turns = turns;
  }

  /** One metric of one subject, a value a round. */
  values(subject: string, metric: string): readonly number[] {
    return (this.#turns.get(subject) ?? []).map((turn) => turn[metric] ?? Number.NaN);
  }

  /** The subject `ours` beside another. */
  compare({ peer, metric, ...words }: Comparison): Measured {
    const values = this.values(peer, metric);
    return {
      ...words,
      ours: this.values("ours", metric),
      peer: values.length > 0 ? { name: peer, values } : { name: peer, missing: "not installed" },
    };
  }
}

/** Milliseconds that it takes. */
export async function timed(body: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await body();
  return performance.now() - startMs;
}
