import { median } from "./statistics.ts";

/** One thing that was measured, of ours and of what a user would pick instead. */
export interface Figure {
  /** The file that measures it. */
  readonly row: string;
  readonly what: string;
  readonly unit: string;
  readonly better: "lower" | "higher";
  /** A value each round. */
  readonly ours: readonly number[];
  readonly peer: Peer;
  /** Without one it is there to be seen. */
  readonly goal?: Goal;
}

/** Without values where it is not there: `missing` says what. */
export type Peer =
  | { readonly name: string; readonly values: readonly number[] }
  | { readonly name: string; readonly missing: string };

/** A bound for our median over the peer's, or for ours alone. */
export interface Goal {
  readonly of: "ratio" | "value";
  readonly limit: number;
}

export type Verdict = "met" | "not met" | "skipped" | "";

/** Ours over the peer's, of medians; NaN without a peer, or beside one that takes nothing at all. */
export function ratioOf({ ours, peer }: Figure): number {
  const other = "values" in peer ? median(peer.values) : 0;
  return other === 0 ? Number.NaN : median(ours) / other;
}

export function verdictOf(figure: Figure): Verdict {
  if (figure.goal === undefined) return "";
  const { of, limit } = figure.goal;
  const value = of === "ratio" ? ratioOf(figure) : median(figure.ours);
  if (Number.isNaN(value)) return "skipped";
  return (figure.better === "lower" ? value <= limit : value >= limit) ? "met" : "not met";
}
