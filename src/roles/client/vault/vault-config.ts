import { dirname } from "node:path";
import * as v from "valibot";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { didYouMean, nearest } from "../../../cli/nearest.ts";
import { configPath } from "../../../cli/paths.ts";
import {
  checkConfigModes,
  type ConfigFile,
  isTable,
  place,
  readConfig,
  tableOf,
} from "./config-file.ts";
import { clientLimits } from "../limits.ts";
import { type VaultTable, vaultSchema } from "./vault-schema.ts";

export interface VaultConfig extends VaultTable {
  readonly name: string;
  /** The file it came from; relative paths in it start at its folder. */
  readonly path: string;
  readonly folder: string;
  /** Variables for what runs there, from a project file. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface LoadedConfig {
  readonly vault: VaultConfig;
  /** Lines for stderr. */
  readonly warnings: readonly string[];
}

/** What the file says of all vaults together. */
export interface ConfigOverview {
  readonly file: ConfigFile;
  readonly vaults: Readonly<Record<string, unknown>>;
  readonly names: readonly string[];
  /** `default_vault`, by `vault use`. */
  readonly defaultVault: string | undefined;
}

export function readOverview(env: Context["env"]): ConfigOverview {
  const file = readConfig(configPath(env));
  checkConfigModes(file);
  const vaults = tableOf(file, "vault");
  const defaultVault = Object.hasOwn(file.root, "default_vault")
    ? file.root["default_vault"]
    : undefined;
  if (defaultVault !== undefined && typeof defaultVault !== "string")
    throw new Failure(
      "FV-CFG-004",
      `${place(file, [], "default_vault")}: "default_vault" must be a string in quotes`,
    );
  return { file, vaults, names: Object.keys(vaults), defaultVault };
}

/** Reads one vault's table. Everything wrong with it is a `Failure` that names file, line and key. */
export function loadVault(name: string, env: Context["env"]): LoadedConfig {
  return vaultOf(readOverview(env), name);
}

export function vaultOf({ file, vaults, names }: ConfigOverview, name: string): LoadedConfig {
  const table = Object.hasOwn(vaults, name) ? vaults[name] : undefined;
  if (table === undefined) throw unknownVault(name, names, file.path);
  checkName(name, file);
  const vault = parseTable(name, table, file);
  return {
    vault: { ...vault, name, path: file.path, folder: dirname(file.path) },
    warnings: unknownKeys(name, table, file),
  };
}

/** Of a vault; also what a project file may name. */
export function isVaultName(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name) && name !== "constructor";
}

function unknownVault(name: string, known: readonly string[], path: string): Failure {
  const near = nearest(name, known);
  const listed = known.slice(0, clientLimits.namesListedMax).join(", ");
  return new Failure(
    "FV-CFG-005",
    `there is no vault "${name}"${near === undefined ? "" : ` (did you mean ${near}?)`}`,
    {
      because: known.length === 0 ? `${path} names no vault` : `${path} has ${listed}`,
      ...(known.length === 0 ? { fix: "fly-vault add  makes one" } : {}),
    },
  );
}

function checkName(name: string, file: ConfigFile): void {
  if (isVaultName(name)) return;
  const where = place(file, ["vault", name]);
  throw new Failure(
    "FV-CFG-004",
    `${where}: a vault's name is 1 to 63 letters, digits, ".", "_" or "-", not "${name}"`,
  );
}

function parseTable(name: string, table: unknown, file: ConfigFile): VaultTable {
  if (!isTable(table))
    throw new Failure(
      "FV-CFG-004",
      `${place(file, ["vault"], name)}: "vault.${name}" must be a table`,
    );
  for (const key of ["address", "org", "app"])
    if (!Object.hasOwn(table, key)) {
      const misspelt = unknownKeys(name, table, file).find((line) =>
        line.endsWith(`(did you mean ${key}?)`),
      );
      throw new Failure("FV-CFG-006", `${place(file, ["vault", name])}: "${key}" is missing`, {
        ...(misspelt === undefined ? {} : { because: misspelt }),
        fix: "fly-vault help config  explains every key",
      });
    }
  const result = v.safeParse(vaultSchema, table);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const [key = ""] = (v.getDotPath(issue) ?? "").split(".");
  const where = place(file, ["vault", name], key);
  throw new Failure("FV-CFG-004", `${where}: "${key}" ${issue.message}`);
}

function unknownKeys(name: string, table: unknown, file: ConfigFile): string[] {
  const known = Object.keys(vaultSchema.entries);
  const keys = isTable(table) ? Object.keys(table) : [];
  const inVault = keys
    .filter((key) => !known.includes(key))
    .map((key) => {
      const where = place(file, ["vault", name], key);
      return `${where}: unknown key "${key}"${didYouMean(key, known)}`;
    });
  const atTop = Object.keys(file.root)
    .filter((key) => !topKeys.includes(key))
    .map((key) => `${place(file, [], key)}: unknown key "${key}"${didYouMean(key, topKeys)}`);
  return [...atTop, ...inVault];
}

const topKeys = ["vault", "default_vault"];
