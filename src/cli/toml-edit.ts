import { isDeepStrictEqual } from "node:util";
import { parse, TomlError } from "smol-toml";
import { type Statement, statementsOf } from "./toml-statements.ts";
import { tomlKey } from "./toml-words.ts";

/**
 * Changes to a TOML document that leave every other byte as it is. Each is checked by parsing what
 * came out: it must say what the old text said, but for the change. Where it does not (a document of
 * an unusual shape), the answer is undefined and a person has to edit.
 */
export type TomlEdit = (source: string) => string | undefined;

type Table = Readonly<Record<string, unknown>>;

/** Appends `[path]` with these lines of `key = value`. Undefined where there is one. */
export function addTable(path: readonly string[], lines: readonly string[]): TomlEdit {
  return (source) => {
    const newline = source.includes("\r\n") ? "\r\n" : "\n";
    const block = [`[${path.map(tomlKey).join(".")}]`, ...lines, ""].join(newline);
    const gap = gapAfter(source, newline);
    const text = `${source}${gap}${block}`;
    const added = read(block);
    return added && checked(source, text, (root) => put(root, path, at(added, path), "new"));
  };
}

/** Takes a table and its sub-tables out. Comments before it and after its last key stay. */
export function removeTable(path: readonly string[]): TomlEdit {
  return (source) => {
    let text = source;
    for (const part of tableParts(source, path).toReversed())
      text = text.slice(0, part.start) + text.slice(part.end);
    const dropped = checked(source, text, (root) => drop(root, path));
    if (dropped !== undefined) return dropped;
    // Without a header of its own, the table around it is gone with its last sub-table.
    return checked(source, text, (root) => drop(root, path) && drop(root, path.slice(0, -1)));
  };
}

/** Sets a key of a table, or of the document (`[]`), to a value as TOML writes it. */
export function setKey(path: readonly string[], key: string, value: string): TomlEdit {
  return (source) => {
    const place = keyPlace(source, path, key);
    if (place === undefined) return undefined;
    const newline = source.includes("\r\n") ? "\r\n" : "\n";
    const line = `${tomlKey(key)} = ${value}`;
    const before = source.slice(0, place.start);
    // After the end of a file that has no line end, or before the first line.
    const lead =
      place.isNew && before !== "" && before !== bom && !before.endsWith("\n") ? newline : "";
    const text = `${before}${lead}${line}${place.isNew ? newline : ""}${source.slice(place.end)}`;
    const parsed = read(line);
    return parsed && checked(source, text, (root) => put(root, [...path, key], parsed[key], "any"));
  };
}

export function removeKey(path: readonly string[], key: string): TomlEdit {
  return (source) => {
    const place = keyPlace(source, path, key);
    if (place === undefined || place.isNew) return undefined;
    const end = /^[^\n]*\n?/.exec(source.slice(place.end))?.[0].length ?? 0;
    const text = source.slice(0, place.start) + source.slice(place.end + end);
    return checked(source, text, (root) => drop(root, [...path, key]));
  };
}

/** One empty line before what is appended. */
function gapAfter(source: string, newline: string): string {
  if (source === "" || source === bom || /\n\r?\n$/.test(source)) return "";
  return source.endsWith("\n") ? newline : newline + newline;
}

interface Span {
  readonly start: number;
  readonly end: number;
}

/** From each header of the table to the end of its last key. */
function tableParts(source: string, path: readonly string[]): Span[] {
  const parts: { start: number; end: number }[] = [];
  let inside: { start: number; end: number } | undefined;
  for (const statement of statementsOf(source)) {
    if (statement.kind === "key") {
      if (inside !== undefined) inside.end = lineEnd(source, statement.end);
      continue;
    }
    inside = undefined;
    if (!startsWith(statement.path, path)) continue;
    inside = { start: lineStart(source, statement.start), end: lineEnd(source, statement.end) };
    parts.push(inside);
  }
  return parts;
}

/** Where the key stands, or where a new line for it goes: after the table's last key. */
function keyPlace(
  source: string,
  path: readonly string[],
  key: string,
): (Span & { readonly isNew: boolean }) | undefined {
  const own = statementsIn(statementsOf(source), path);
  if (own === undefined) return undefined;
  const found = own.find(
    ({ kind, path: [name, ...more] }) => kind === "key" && name === key && more.length === 0,
  );
  if (found !== undefined) return { start: found.start, end: found.end, isNew: false };
  const last = own.at(-1);
  const offset = last === undefined ? (source.startsWith(bom) ? 1 : 0) : lineEnd(source, last.end);
  return { start: offset, end: offset, isNew: true };
}

/** The table's header and keys, without its sub-tables; undefined where no header is. */
function statementsIn(
  all: readonly Statement[],
  path: readonly string[],
): readonly Statement[] | undefined {
  const from =
    path.length === 0
      ? 0
      : all.findIndex(
          (one) =>
            one.kind === "table" && one.path.length === path.length && startsWith(one.path, path),
        );
  if (from === -1) return undefined;
  const next = all.findIndex(
    (one, index) => one.kind !== "key" && index > from - (path.length === 0 ? 1 : 0),
  );
  return all.slice(from, next === -1 ? undefined : next);
}

function startsWith(path: readonly string[], start: readonly string[]): boolean {
  return start.every((part, index) => path[index] === part);
}

function lineStart(source: string, offset: number): number {
  return source.lastIndexOf("\n", offset - 1) + 1;
}

/** Behind the line's comment and its end. */
function lineEnd(source: string, offset: number): number {
  const end = source.indexOf("\n", offset);
  return end === -1 ? source.length : end + 1;
}

function checked(
  before: string,
  after: string,
  change: (root: Record<string, unknown>) => boolean,
): string | undefined {
  const [wanted, got] = [read(before), read(after)];
  if (wanted === undefined || got === undefined) return undefined;
  return change(wanted) && isDeepStrictEqual(wanted, got) ? after : undefined;
}

function read(source: string): Record<string, unknown> | undefined {
  try {
    return parse(source.replace(/^\uFEFF/, ""), { unsafeKeyBehaviour: "keep" });
  } catch (error) {
    if (error instanceof TomlError) return undefined;
    throw error;
  }
}

function at(root: Table, path: readonly string[]): unknown {
  return path.reduce<unknown>((value, key) => (isTable(value) ? value[key] : undefined), root);
}

function put(
  root: Record<string, unknown>,
  path: readonly string[],
  value: unknown,
  which: "new" | "any",
): boolean {
  let table = root;
  for (const key of path.slice(0, -1)) {
    if (!Object.hasOwn(table, key))
      table[key] = Object.create(Object.getPrototypeOf(root) as object | null);
    const next = table[key];
    if (!isTable(next)) return false;
    table = next;
  }
  const key = path.at(-1) ?? "";
  if (which === "new" && Object.hasOwn(table, key)) return false;
  table[key] = value;
  return true;
}

function drop(root: Record<string, unknown>, path: readonly string[]): boolean {
  const table = at(root, path.slice(0, -1));
  const key = path.at(-1) ?? "";
  if (!isTable(table) || !Object.hasOwn(table, key)) return false;
  Reflect.deleteProperty(table, key);
  return true;
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const bom = "\uFEFF";
