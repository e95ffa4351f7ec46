import { mutate, pick } from "./mutation.ts";
import type { Random } from "./seed.ts";

/** As `mutate`, but half of what it gives is JSON still. */
export function mutateJson(random: Random, corpus: readonly Uint8Array[]): Uint8Array {
  if (random() < 0.5) return mutate(random, corpus);
  try {
    const value: unknown = JSON.parse(decoder.decode(pick(random, corpus)));
    return encoder.encode(JSON.stringify(oddJson(random, value)));
  } catch {
    return mutate(random, corpus);
  }
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** A copy of a JSON value in which one place holds something else: damage that is still JSON. */
export function oddJson(random: Random, value: unknown): unknown {
  if (typeof value !== "object" || value === null || random() < 0.1) return pick(random, oddities);
  const names = Object.keys(value);
  const name = names.length === 0 ? "x" : pick(random, names);
  const members = new Map<string, unknown>(Object.entries(value));
  const choice = random();
  if (choice < 0.15) members.delete(name);
  else if (choice < 0.25) members.set(pick(random, oddNames), pick(random, oddities));
  else members.set(name, oddJson(random, members.get(name)));
  return Array.isArray(value) ? [...members.values()] : Object.fromEntries(members);
}

const oddNames = ["", "type", "__proto__", "constructor", "toString", "length", "a=b", "é"];

const numbers = [0, -0, 1, -1, 0.5, 1e-7, 64, 65, 127, 128, 255, 256, 65_535, 65_536].concat(
  [31, 32, 53, 62, 63, 64].flatMap((power) => [2 ** power - 1, 2 ** power]),
);

const oddities: readonly unknown[] = [
  null,
  true,
  false,
  "",
  "x",
  "\0",
  "\u001b[2J",
  "\u{d800}",
  "\u202e",
  "../../etc/passwd",
  "x".repeat(300),
  [],
  {},
  [[[[[[]]]]]],
  ["x", null],
  { type: "status" },
  ...numbers,
];
