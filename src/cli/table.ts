import { printable } from "./printable.ts";

/** Two spaces between columns, no boxes, nothing cut off, no blanks at the ends of lines. */
export function renderTable(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const all = [heads, ...rows].map((row) => row.map(printable));
  const widths = heads.map((_, column) =>
    Math.max(...all.map((row) => Bun.stringWidth(row[column] ?? ""))),
  );
  return all
    .map((row) => {
      const cells = row.map((cell, column) => {
        const missing = (widths[column] ?? 0) - Bun.stringWidth(cell);
        return cell + " ".repeat(Math.max(0, missing));
      });
      return `${cells.join("  ").trimEnd()}\n`;
    })
    .join("");
}
