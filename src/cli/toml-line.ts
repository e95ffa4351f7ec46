/**
 * Line of `key` in the table `[table]`, for messages; undefined where it is written in a way this
 * does not follow (dotted keys, inline tables). The parser itself keeps no positions.
 */
export function tomlLine(
  source: string,
  table: readonly string[],
  key?: string,
): number | undefined {
  const wanted = table.join("\0");
  let current = "";
  let line = 0;
  for (const text of source.split("\n")) {
    line += 1;
    const header = /^\s*\[\s*([^[\]]+?)\s*\]/.exec(text);
    if (header !== null) {
      current = splitKey(header[1] ?? "").join("\0");
      if (key === undefined && current === wanted) return line;
      continue;
    }
    const assigned = /^\s*("[^"]*"|'[^']*'|[\w-]+)\s*=/.exec(text);
    if (assigned === null || key === undefined || current !== wanted) continue;
    if (splitKey(assigned[1] ?? "")[0] === key) return line;
  }
  return undefined;
}

function splitKey(dotted: string): string[] {
  const parts = dotted.match(/"[^"]*"|'[^']*'|[^.\s]+/g) ?? [];
  return parts.map((part) => part.replaceAll(/^["']|["']$/g, ""));
}
