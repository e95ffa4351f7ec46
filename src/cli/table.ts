import { printable } from "./printable.ts";

export const tableGap = "  ";

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
      return `${cells.join(tableGap).trimEnd()}\n`;
    })
    .join("");
}

/** For programs: a tab between columns, and none within them. */
export function renderTabs(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  return [heads, ...rows].map((row) => `${row.map(printable).join("\t")}\n`).join("");
}

/** No wider than so many columns of a terminal. */
export function clipCell(text: string, columns: number): string {
  if (Bun.stringWidth(text) <= columns) return text;
  let kept = "";
  for (const character of text) {
    if (Bun.stringWidth(kept + character) >= columns) break;
    kept += character;
  }
  return `${kept}…`;
}
