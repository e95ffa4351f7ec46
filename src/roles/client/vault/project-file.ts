import { statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import * as v from "valibot";
import { Failure } from "../../../cli/failure.ts";
import { type ConfigFile, isTable, place, readConfig } from "./config-file.ts";
import { clientLimits } from "../limits.ts";
import { forwardMistake } from "../forward/forward-spec.ts";
import { isVaultName } from "./vault-config.ts";

/**
 * `.fly-vault.toml` of a project. It comes with somebody's repository, so it may choose among what
 * the user has set up, and never say where a machine is, whom to trust or what to run here.
 */
export interface ProjectFile {
  /** As seen from the current folder: "./.fly-vault.toml". */
  readonly shown: string;
  readonly vault: string | undefined;
  readonly forward: readonly string[] | undefined;
  readonly env: Readonly<Record<string, string>>;
}

export interface FoundProject {
  readonly project: ProjectFile | undefined;
  readonly warnings: readonly string[];
}

/** The nearest one, from `folder` upwards. Throws `Failure` where it holds what it must not. */
export function findProject(folder: string): FoundProject {
  let here = folder;
  for (let step = 0; step < clientLimits.projectFoldersMax; step += 1) {
    const path = join(here, fileName);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat?.isFile() === true) {
      const shown = shownPath(path, folder);
      if (!isOurs(stat)) return { project: undefined, warnings: [notOurs(shown)] };
      return { project: parseProject(readConfig(path), shown), warnings: [] };
    }
    const parent = dirname(here);
    if (parent === here) break;
    here = parent;
  }
  return { project: undefined, warnings: [] };
}

/** A file that somebody else left in a folder above, such as /tmp, decides nothing. */
function isOurs({ uid, mode }: { readonly uid: number; readonly mode: number }): boolean {
  const own = process.getuid?.() ?? uid;
  return (uid === own || uid === 0) && (mode & 0o002) === 0;
}

function notOurs(shown: string): string {
  return `${shown} is not used: it belongs to somebody else, or everybody can write it`;
}

function shownPath(path: string, folder: string): string {
  const way = relative(folder, path);
  return way.startsWith("..") ? way : `./${way}`;
}

function parseProject(file: ConfigFile, shown: string): ProjectFile {
  for (const key of Object.keys(file.root))
    if (!Object.hasOwn(schema.entries, key)) throw refused(file, key);
  const result = v.safeParse(schema, file.root);
  if (!result.success) {
    const [issue] = result.issues;
    const [key = "", member] = (v.getDotPath(issue) ?? "").split(".");
    throw new Failure("FV-CFG-004", `${placeOf(file, key, member)}: "${key}" ${issue.message}`);
  }
  const { vault, forward, env } = result.output;
  return { shown, vault, forward, env };
}

/** Of a member, or of a table where a text should be: its first key says where that stands. */
function placeOf(file: ConfigFile, key: string, member: string | undefined): string {
  const value = file.root[key];
  const inside = member ?? (isTable(value) ? Object.keys(value)[0] : undefined);
  return inside === undefined ? place(file, [], key) : place(file, [key], inside);
}

function refused(file: ConfigFile, key: string): Failure {
  return new Failure(
    "FV-CFG-010",
    `${place(file, [], key)}: "${key}" has no place in a project file`,
    {
      because:
        "it may name a vault, forward and env; addresses, tokens, what to trust and commands are yours to say",
      fix: `take "${key}" out; fly-vault config path  names the file for it`,
    },
  );
}

const schema = v.object({
  vault: v.optional(
    v.pipe(
      v.string("must be a string in quotes"),
      v.check(isVaultName, "must be the name of a vault"),
    ),
  ),
  forward: v.optional(
    v.array(
      v.pipe(
        v.string("must be a list of strings in quotes"),
        v.check(
          (spec) => forwardMistake("L", spec) === undefined,
          "has an entry that is not a forward",
        ),
      ),
      'must be a list: ["8080:localhost:8080"]',
    ),
  ),
  env: v.optional(
    v.record(
      v.pipe(
        v.string(),
        v.regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, "has a name that is no variable"),
      ),
      v.string("must be a table of strings"),
      "must be a table of strings",
    ),
    {},
  ),
});

const fileName = ".fly-vault.toml";
