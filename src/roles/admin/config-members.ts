import { nearest } from "../../cli/nearest.ts";
import { configMembers } from "../../fly/api-types.ts";

/** A member of a machine's configuration that Fly's description does not have. */
export interface StrangeMember {
  readonly keys: readonly string[];
  readonly known: readonly string[];
  /** What was probably meant. */
  readonly near: string | undefined;
}

/**
 * Fly drops what it does not know without a word. Some of it may be newer than the description, so
 * only what looks like a slip of the pen is certainly wrong.
 */
export function strangeMembers(config: unknown): StrangeMember[] {
  return walk(config, "fly.MachineConfig", ["machine", "config"]);
}

function walk(value: unknown, schema: string, keys: readonly string[]): StrangeMember[] {
  const members = configMembers[schema];
  if (members === undefined || !isTable(value)) return [];
  return Object.entries(value).flatMap(([key, entry]) => {
    const at = [...keys, key];
    if (Object.hasOwn(members, key)) return walkInner(entry, members[key] ?? "", at);
    const known = Object.keys(members);
    return [{ keys: at, known, near: nearest(key, known) }];
  });
}

/** `[schema]` is a list of it, `{schema}` a table of it by names of the user's own. */
function walkInner(value: unknown, kind: string, keys: readonly string[]): StrangeMember[] {
  const inner = kind.slice(1, -1);
  const isList = kind.startsWith("[");
  if (!isList && !kind.startsWith("{")) return walk(value, kind, keys);
  if (isList !== Array.isArray(value) || typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, entry]) => walk(entry, inner, [...keys, key]));
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
