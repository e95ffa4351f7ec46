import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import * as v from "valibot";

export interface LockedPackage {
  readonly name: string;
  readonly version: string;
  /** "sha512-" and base64: what npm must give. */
  readonly integrity: string;
  readonly license: string | undefined;
}

/** What package-lock.json says of the packages, by their folders ("node_modules/NAME"). */
export type PackageLock = ReadonlyMap<string, LockedPackage>;

const lockSchema = v.object({
  packages: v.record(
    v.string(),
    v.object({
      version: v.string(),
      integrity: v.optional(v.string()),
      license: v.optional(v.string()),
    }),
  ),
});

export async function readPackageLock(): Promise<PackageLock> {
  const path = join(resolve(import.meta.dir, "../.."), "package-lock.json");
  return parsePackageLock(await readFile(path, "utf8"));
}

export function parsePackageLock(text: string): PackageLock {
  const { packages } = v.parse(lockSchema, JSON.parse(text));
  const locked = new Map<string, LockedPackage>();
  for (const [folder, { version, integrity, license }] of Object.entries(packages)) {
    const name = nameOf(folder);
    if (name === undefined || integrity === undefined) continue;
    locked.set(folder, { name, version, integrity, license });
  }
  return locked;
}

/** The packages that these files belong to, each once, by name. */
export function packagesOf(files: readonly string[], lock: PackageLock): LockedPackage[] {
  const folders = new Set(files.map(folderOf));
  return [...folders]
    .map((folder) => {
      const found = lock.get(folder);
      if (found === undefined) throw new Error(`${folder} is not in package-lock.json`);
      return found;
    })
    .toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** The last one, where packages have packages of their own. */
function folderOf(file: string): string {
  const path = file.slice(file.indexOf("node_modules/"));
  return /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? path;
}

function nameOf(folder: string): string | undefined {
  return /(?:^|\/)node_modules\/((?:@[^/]+\/)?[^/]+)$/.exec(folder)?.[1];
}
