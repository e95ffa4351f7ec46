/** A header (`[a.b]`, `[[a.b]]`) or `key = value`, and where it stands, without a comment behind it. */
export interface Statement {
  readonly kind: "table" | "array" | "key";
  readonly path: readonly string[];
  readonly start: number;
  readonly end: number;
}

/**
 * The statements of a TOML document that a parser has accepted: it looks for their bounds alone. What
 * stands inside of strings, also those of several lines, and of lists is passed over.
 */
export function statementsOf(source: string): Statement[] {
  const statements: Statement[] = [];
  let offset = source.startsWith("\uFEFF") ? 1 : 0;
  for (;;) {
    offset += /^(?:[ \t\r\n]|#[^\n]*)*/.exec(source.slice(offset))?.[0].length ?? 0;
    if (offset >= source.length) return statements;
    const end = statementEnd(source, offset);
    statements.push(statementAt(source.slice(offset, end), offset));
    offset = end;
  }
}

/** The end of what starts at `offset`: a line's end or a comment, outside of strings and brackets. */
function statementEnd(source: string, offset: number): number {
  let depth = 0;
  let end = offset;
  for (let at = offset; at < source.length;) {
    const character = source.charAt(at);
    if (character === "\n" && depth === 0) break;
    if (character === "#") {
      if (depth === 0) break;
      at = lineFeed(source, at);
      continue;
    }
    const next = character === '"' || character === "'" ? stringEnd(source, at) : at + 1;
    if (character === "[" || character === "{") depth += 1;
    if (character === "]" || character === "}") depth -= 1;
    if (!/\s/.test(character)) end = next;
    at = next;
  }
  return end;
}

function lineFeed(source: string, from: number): number {
  const at = source.indexOf("\n", from);
  return at === -1 ? source.length : at;
}

/** Behind the closing quotes of the string that opens at `at`. */
function stringEnd(source: string, at: number): number {
  const rest = source.slice(at);
  const [whole = rest] =
    /^"""(?:[^\\]|\\[^])*?"{3,5}(?!")/.exec(rest) ??
    /^'''[^]*?'{3,5}(?!')/.exec(rest) ??
    /^"(?:[^"\\\n]|\\.)*"/.exec(rest) ??
    /^'[^'\n]*'/.exec(rest) ??
    [];
  return at + whole.length;
}

function statementAt(text: string, start: number): Statement {
  const end = start + text.length;
  if (text.startsWith("[["))
    return { kind: "array", path: dottedKey(text.slice(2, -2)), start, end };
  if (text.startsWith("["))
    return { kind: "table", path: dottedKey(text.slice(1, -1)), start, end };
  const key = /^(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^"'=])*/.exec(text)?.[0] ?? "";
  return { kind: "key", path: dottedKey(key), start, end };
}

function dottedKey(text: string): string[] {
  const parts = text.match(/"(?:[^"\\]|\\.)*"|'[^']*'|[^.\s]+/g) ?? [];
  return parts.map((part) => {
    if (part.startsWith("'")) return part.slice(1, -1);
    return part.startsWith('"') ? unescaped(part) : part;
  });
}

/** A name with an escape that only TOML has stays as it is written, and is then not found. */
function unescaped(quoted: string): string {
  try {
    return String(JSON.parse(quoted));
  } catch {
    return quoted;
  }
}
