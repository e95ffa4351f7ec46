import { type Figure, ratioOf, verdictOf } from "./figure.ts";
import { median } from "./statistics.ts";

/** Figures beside their peers and goals, as a table in Markdown that is also read well on a terminal. */
export function figureTable(figures: readonly Figure[]): string {
  const heads = ["row", "what", "ours", "peer", "its", "ratio", "goal", ""];
  return markdownTable(heads, figures.map(cellsOf), 2);
}

/** `textColumns` from the left are words, the others numbers. */
export function markdownTable(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
  textColumns = 1,
): string {
  const widths = heads.map((head, column) =>
    Math.max(3, head.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => pad(cell, widths[column] ?? 0, column < textColumns)).join(" | ")} |`;
  const rule = widths.map((width, column) =>
    column < textColumns ? "-".repeat(width) : `${"-".repeat(width - 1)}:`,
  );
  return [line(heads), line(rule), ...rows.map(line)].join("\n");
}

/** Three digits that count, and no exponent. */
export function shown(value: number): string {
  if (Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size >= 100 || size === 0) return value.toFixed(0);
  return value.toFixed(size >= 10 ? 1 : 2);
}

function cellsOf(figure: Figure): readonly string[] {
  const { row, what, unit, ours, peer } = figure;
  return [
    row,
    what,
    `${shown(median(ours))} ${unit}`,
    peer.name,
    "values" in peer ? `${shown(median(peer.values))} ${unit}` : peer.missing,
    ratioOf(figure).toFixed(2).replace("NaN", "–"),
    goalText(figure),
    verdictOf(figure),
  ];
}

function goalText({ goal, better, unit }: Figure): string {
  if (goal === undefined) return "";
  const bound = goal.of === "ratio" ? String(goal.limit) : `${goal.limit} ${unit}`;
  return `${better === "lower" ? "≤" : "≥"} ${bound}`;
}

function pad(cell: string, width: number, isText: boolean): string {
  return isText ? cell.padEnd(width) : cell.padStart(width);
}
