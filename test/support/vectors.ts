import { readFileSync } from "node:fs";

/**
 * Test vectors as docs/protocol.md quotes them: blocks of `key: value` lines, apart by empty lines,
 * `#` starts a comment line. `bytes` is hex, spaces are for the reader.
 */
export interface Vector {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** JSON of the decoded value; byte strings in it are hex. Absent where the bytes are refused. */
  readonly value: unknown;
  /** A part of the error's message. */
  readonly refused: string | undefined;
}

export function readVectors(file: string): Vector[] {
  const text = readFileSync(new URL(`../vectors/${file}`, import.meta.url), "utf8");
  return text
    .replaceAll(/^#.*\n/gm, "")
    .split(/\n\n+/)
    .filter((block) => block.trim() !== "")
    .map(parseBlock);
}

function parseBlock(block: string): Vector {
  const fields = new Map<string, string>();
  for (const line of block.trim().split("\n")) {
    const [, key = "", value = ""] = /^([a-z]+): (.*)$/.exec(line) ?? [];
    if (key === "") throw new Error(`Not a vector line: ${line}`);
    fields.set(key, value);
  }
  const value = fields.get("value");
  return {
    name: fields.get("name") ?? "",
    bytes: fromHex(fields.get("bytes") ?? ""),
    value: value === undefined ? undefined : JSON.parse(value),
    refused: fields.get("refused"),
  };
}

/** `68656c6c6f` or `"hello"` pieces, apart by spaces. */
function fromHex(text: string): Uint8Array {
  const pieces = text.match(/"[^"]*"|'[^']*'|[0-9a-f]+/g) ?? [];
  return new Uint8Array(
    Buffer.concat(
      pieces.map((piece) =>
        /^["']/.test(piece) ? Buffer.from(piece.slice(1, -1)) : Buffer.from(piece, "hex"),
      ),
    ),
  );
}

/** A decoded value as vectors write it. */
export function withHex(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(withHex);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withHex(item)]));
}
