import type { FlyMachine, FlyVolume } from "../../fly/machine-shape.ts";
import type { Difference } from "./difference.ts";
import { leafPaths, parseMemberDigests } from "./member-digests.ts";
import { placeDifferences } from "./place-difference.ts";
import { metadataKeys, type PlannedMachine } from "./plan.ts";
import { configOf, updatedConfig } from "./updated-config.ts";

/**
 * What an update would change, and what none can. Fly fills in what a template leaves out, so only what
 * the template says, or said before, counts.
 */
export function machineDifferences(
  planned: PlannedMachine,
  machine: FlyMachine,
  volumes: readonly FlyVolume[],
): Difference[] {
  const { mounts: _, metadata, ...wanted } = updatedConfig(planned, machine);
  const actual = configOf(machine);
  return [
    ...placeDifferences(planned, machine, volumes),
    ...valueDifferences(wanted, actual, []),
    ...valueDifferences(withoutOwnKeys(metadata), actual.metadata ?? {}, ["metadata"]),
    ...removedVariables(wanted["env"], actual.env ?? {}),
    ...removedMembers(planned, machine),
  ];
}

/** All that `wanted` says and `actual` does not have so. */
function valueDifferences(wanted: unknown, actual: unknown, keys: readonly string[]): Difference[] {
  if (isSame(wanted, actual)) return [];
  const lists = Array.isArray(wanted) && Array.isArray(actual) && wanted.length === actual.length;
  if (!lists && !(isTable(wanted) && isTable(actual))) return [{ keys, from: actual, to: wanted }];
  const there = new Map<string, unknown>(Object.entries(actual));
  return Object.entries(wanted).flatMap(([key, entry]: [string, unknown]) =>
    valueDifferences(entry, there.get(key), [...keys, key]),
  );
}

function isSame(wanted: unknown, actual: unknown): boolean {
  if (wanted === actual || (isNothing(wanted) && isNothing(actual))) return true;
  // Fly answers in the older words.
  const old = new Map<unknown, unknown>([
    ["off", false],
    ["stop", true],
  ]);
  return actual !== undefined && old.has(wanted) && old.get(wanted) === actual;
}

/** Fly leaves out what says nothing. */
function isNothing(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function withoutOwnKeys(metadata: unknown): Record<string, unknown> {
  const own: readonly string[] = Object.values(metadataKeys);
  const entries = isTable(metadata) ? Object.entries(metadata) : [];
  return Object.fromEntries(entries.filter(([key]) => !own.includes(key)));
}

function removedVariables(wanted: unknown, actual: Readonly<Record<string, string>>): Difference[] {
  const kept = new Set(isTable(wanted) ? Object.keys(wanted) : []);
  return Object.entries(actual)
    .filter(([name]) => !kept.has(name))
    .map(([name, from]) => ({ keys: ["env", name], from, to: undefined }));
}

/** What an earlier template said and this one does not. */
function removedMembers(
  { machine: { config } }: PlannedMachine,
  machine: FlyMachine,
): Difference[] {
  const { metadata, ...actual } = machine.config ?? {};
  const before = parseMemberDigests(metadata?.[metadataKeys.members] ?? "");
  const planned = isTable(config["metadata"]) ? config["metadata"][metadataKeys.members] : "";
  const now = parseMemberDigests(String(planned));
  return Object.entries(actual).flatMap(([member, from]: [string, unknown]): Difference[] => {
    if (!before.has(member) || before.get(member) === now.get(member) || isNothing(from)) return [];
    if (!now.has(member)) return [{ keys: [member], from, to: undefined }];
    const kept = new Set(leafPaths(config[member]));
    return leafPaths(from)
      .filter((path) => !kept.has(path))
      .map((path) => `${member}.${path}`.split("."))
      .map((keys) => ({ keys, from: valueAt(actual, keys), to: undefined }))
      .filter((difference) => !isNothing(difference.from));
  });
}

function valueAt(root: unknown, keys: readonly string[]): unknown {
  let value = root;
  for (const key of keys) {
    if (typeof value !== "object" || value === null) return undefined;
    value = new Map<string, unknown>(Object.entries(value)).get(key);
  }
  return value;
}
