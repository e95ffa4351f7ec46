/**
 * Output as far as it is the same every time: ids, digests, numbers, times, sizes and the width of columns are not.
 * In a page `…` stands for anything within a line, and a line of `...` for any lines.
 */
export function isAsShown(shown: readonly string[], printed: readonly string[]): boolean {
  const [first, ...rest] = shown;
  if (first === undefined) return printed.length === 0;
  if (first.trim() === "...")
    return printed.some((_, at) => isAsShown(rest, printed.slice(at))) || isAsShown(rest, []);
  const [line, ...later] = printed;
  return line !== undefined && isLineAsShown(first, line) && isAsShown(rest, later);
}

export function isLineAsShown(shown: string, printed: string): boolean {
  const parts = shape(shown)
    .split("…")
    .map((part) => RegExp.escape(part));
  return new RegExp(`^${parts.join(".*")}$`).test(shape(printed));
}

/** Without empty lines at the end, background programs' logs, and progress, which a terminal writes over. */
export function printedLines(output: string, home: string): string[] {
  const lines = Bun.stripANSI(output)
    .replaceAll(home, "/home/me")
    .split("\n")
    .map((line) => line.trimEnd())
    .filter((line) => !/^\{"at":|^(?:upload|unpack|download)\b.* · |^comparing |^boot$/.test(line));
  while (lines.at(-1) === "") lines.pop();
  return lines;
}

function shape(line: string): string {
  return line
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "0 s ago")
    .replaceAll(/[0-9a-f]+…/g, "…")
    .replaceAll(/(?<![A-Za-z0-9])[0-9a-f]{6,}(?![A-Za-z0-9])/g, "#")
    .replaceAll(/\d+(?:[.,:]\d+)*/g, "0")
    .replaceAll(/0 ?(?:B|KiB|MiB|GiB)\b/g, "0 B")
    .replaceAll(/\b0 (?:ms|s|m|h)(?: 0 (?:ms|s|m))*(?![a-z])/g, "0 s")
    .replaceAll(/\s+/g, " ")
    .trim();
}
