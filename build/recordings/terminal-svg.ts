/** A picture of a terminal, as text: what `tmux capture-pane -e` prints becomes SVG that any browser shows. */

const cell = { width: 8.4, height: 18 };
const margin = 12;
/** Of the sixteen colours; what a program chooses beyond them is shown in the colour of plain text. */
const palette = (
  "#3b4048 #e06c75 #98c379 #e5c07b #61afef #c678dd #56b6c2 #c8ccd4 " +
  "#7f848e #ff7b86 #b5e08f #ffd58a #7cc4ff #dd8cf5 #6fd3df #ffffff"
).split(" ");
const ground = "#1e2127";
const plain = "#c8ccd4";

interface Style {
  readonly colour: string;
  readonly bold: boolean;
  readonly dim: boolean;
  readonly reversed: boolean;
}

const unstyled: Style = { colour: plain, bold: false, dim: false, reversed: false };

interface Run {
  readonly column: number;
  readonly text: string;
  readonly style: Style;
}

/** Screens one below the other, each of so many columns. */
export function terminalSvg(screens: readonly string[], columns: number): string {
  const width = Math.ceil(columns * cell.width) + 2 * margin;
  const parts: string[] = [];
  let top = 0;
  for (const screen of screens) {
    const rows = screen.replace(/\n+$/, "").split("\n");
    const height = rows.length * cell.height + 2 * margin;
    parts.push(
      `<rect y="${top}" width="${width}" height="${height}" rx="8" fill="${ground}"/>`,
      ...rows.flatMap((row, index) => drawRow(row, top + margin + index * cell.height)),
    );
    top += height + margin;
  }
  const height = top - margin;
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14" xml:space="preserve">`;
  return `${[head, ...parts, "</svg>"].join("\n")}\n`;
}

function drawRow(row: string, top: number): string[] {
  return styledRuns(row).flatMap(({ column, text, style }) => {
    const x = round(margin + column * cell.width);
    const width = round(Bun.stringWidth(text) * cell.width);
    const { colour, bold, dim, reversed } = style;
    const look = `${bold ? ' font-weight="bold"' : ""}${dim ? ' opacity="0.6"' : ""}`;
    const box = `<rect x="${x}" y="${top}" width="${width}" height="${cell.height}" fill="${colour}"/>`;
    const fill = reversed ? ground : colour;
    const words = `<text x="${x}" y="${top + 13}" textLength="${width}" fill="${fill}"${look}>${escaped(text)}</text>`;
    if (text.trim() === "") return reversed ? [box] : [];
    return reversed ? [box, words] : [words];
  });
}

const escape = String.fromCodePoint(0x1b);
const lookOrText = new RegExp(`${escape}\\[([\\d;]*)m|([^${escape}]+)`, "g");

/** Text of one look, with the column it begins in. */
export function styledRuns(row: string): Run[] {
  const runs: Run[] = [];
  let style = unstyled;
  let column = 0;
  for (const [, codes, text = ""] of row.matchAll(lookOrText)) {
    if (codes !== undefined) style = restyled(style, codes);
    else {
      runs.push({ column, text, style });
      column += Bun.stringWidth(text);
    }
  }
  return runs;
}

const looks: Readonly<Record<number, Partial<Style>>> = {
  0: unstyled,
  1: { bold: true },
  2: { dim: true },
  7: { reversed: true },
  22: { bold: false, dim: false },
  27: { reversed: false },
  39: { colour: plain },
};

function restyled(before: Style, codes: string): Style {
  const style = { ...before };
  for (const code of codes.split(";").map(Number)) {
    // A colour of its own follows, and nothing of ours uses one together with another look.
    if (code === 38 || code === 48) break;
    const colour = code >= 90 ? palette[code - 82] : palette[code - 30];
    Object.assign(style, colour === undefined ? looks[code] : { colour });
  }
  return style;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
