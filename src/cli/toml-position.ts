/**
 * The line on which a value of a TOML document stands, for messages; the parser keeps no positions.
 * Values inside inline tables are found at the line of the nearest key around them.
 */
export function tomlPosition(
  source: string,
  path: readonly (string | number)[],
): number | undefined {
  const wanted = path.map(String);
  const arrayCounts = new Map<string, number>();
  let table: readonly string[] = [];
  let best: { readonly line: number; readonly depth: number } | undefined;
  for (const [index, text] of source.split("\n").entries()) {
    const key = keyOf(text);
    const here = tableOf(text, arrayCounts) ?? (key === undefined ? undefined : [...table, ...key]);
    if (here === undefined) continue;
    if (key === undefined) table = here;
    const fits = here.length <= wanted.length && here.every((part, at) => part === wanted[at]);
    if (fits && here.length > (best?.depth ?? 0)) best = { line: index + 1, depth: here.length };
  }
  return best?.line;
}

/** `[a.b]` and `[[a.b]]`, whose path ends with the number of the element. */
function tableOf(line: string, arrayCounts: Map<string, number>): string[] | undefined {
  const array = /^\s*\[\[([^[\]]+)\]\]/u.exec(line);
  if (array === null) {
    const plain = /^\s*\[([^[\]]+)\]/u.exec(line);
    return plain === null ? undefined : withCounts(splitKey(plain[1] ?? ""), arrayCounts);
  }
  const parts = splitKey(array[1] ?? "");
  const name = parts.join("\0");
  const count = arrayCounts.get(name) ?? 0;
  arrayCounts.set(name, count + 1);
  return withCounts(parts, arrayCounts);
}

/** `[a.b.c]` below `[[a.b]]` belongs to that array's newest element. */
function withCounts(parts: readonly string[], arrayCounts: ReadonlyMap<string, number>): string[] {
  const path: string[] = [];
  for (const [at, part] of parts.entries()) {
    path.push(part);
    const count = arrayCounts.get(parts.slice(0, at + 1).join("\0"));
    if (count !== undefined) path.push(String(count - 1));
  }
  return path;
}

function keyOf(line: string): string[] | undefined {
  const found = /^\s*((?:"[^"]*"|'[^']*'|[\w-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[\w-]+))*)\s*=/u.exec(
    line,
  );
  return found === null ? undefined : splitKey(found[1] ?? "");
}

function splitKey(dotted: string): string[] {
  const parts = dotted.match(/"[^"]*"|'[^']*'|[^.\s]+/gu) ?? [];
  return parts.map((part) => part.replaceAll(/^["']|["']$/gu, ""));
}
