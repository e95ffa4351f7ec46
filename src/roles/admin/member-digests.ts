import { createHash } from "node:crypto";

/**
 * For each member of a configuration the digest of which keys are below it, whatever their values: a
 * template that says less than before can be told from one that never said it. "guest:1a2b3c4d,…"
 */
export function memberDigests(config: Readonly<Record<string, unknown>>): string {
  return Object.keys(config)
    .filter((member) => !comparedWhole.has(member))
    .toSorted()
    .map((member) => `${member}:${digest(leafPaths(config[member]))}`)
    .join(",");
}

export function parseMemberDigests(text: string): Map<string, string> {
  const pairs = text.split(",").map((pair) => pair.split(":"));
  return new Map(pairs.map(([member = "", value = ""]) => [member, value]));
}

/** Every path to a value that holds no others; places in lists are numbers. */
export function leafPaths(value: unknown): string[] {
  if (typeof value !== "object" || value === null || value instanceof Date) return [""];
  return Object.entries(value).flatMap(([key, entry]: [string, unknown]) =>
    leafPaths(entry).map((rest) => (rest === "" ? key : `${key}.${rest}`)),
  );
}

function digest(paths: readonly string[]): string {
  return createHash("sha256").update(paths.toSorted().join("\n")).digest("hex").slice(0, 8);
}

/** Of these every key is compared; nobody but the template and fly-vault-admin puts any there. */
const comparedWhole: ReadonlySet<string> = new Set(["env", "metadata", "image", "mounts"]);
