import { readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { parse, TomlError } from "smol-toml";
import * as v from "valibot";
import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { didYouMean, nearest } from "../../cli/nearest.ts";
import { configPath } from "../../cli/paths.ts";
import { tomlPosition } from "../../cli/toml-position.ts";
import { clientLimits } from "./limits.ts";
import { type VaultTable, vaultSchema } from "./vault-schema.ts";

export interface VaultConfig extends VaultTable {
  readonly name: string;
  /** The file it came from; relative paths in it start at its folder. */
  readonly path: string;
  readonly folder: string;
}

export interface LoadedConfig {
  readonly vault: VaultConfig;
  /** Lines for stderr. */
  readonly warnings: readonly string[];
}

/** Reads one vault's table. Everything wrong with it is a `Failure` that names file, line and key. */
export function loadVault(name: string, env: Context["env"]): LoadedConfig {
  const file = readConfig(configPath(env));
  refuseReadableSecrets(file);
  const vaults = tableOf(file, "vault");
  const table = Object.hasOwn(vaults, name) ? vaults[name] : undefined;
  if (table === undefined) throw unknownVault(name, Object.keys(vaults), file.path);
  checkName(name, file);
  const vault = parseTable(name, table, file);
  return {
    vault: { ...vault, name, path: file.path, folder: dirname(file.path) },
    warnings: unknownKeys(name, table, file),
  };
}

interface ConfigFile {
  readonly path: string;
  readonly source: string;
  readonly root: Readonly<Record<string, unknown>>;
  readonly mode: number;
}

function readConfig(path: string): ConfigFile {
  let bytes: Uint8Array;
  let mode: number;
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw new Failure("FV-CFG-002", `"${path}" is not a file`);
    if (stat.size > clientLimits.configBytesMax)
      throw new Failure("FV-CFG-002", `"${path}" is ${stat.size} bytes long, not a configuration`);
    mode = stat.mode & 0o777;
    bytes = readFileSync(path);
  } catch (error) {
    throw unreadable(path, error);
  }
  const source = decodeText(path, bytes);
  try {
    return { path, source, root: parse(source, { unsafeKeyBehaviour: "keep" }), mode };
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [reason = ""] = error.message.split("\n");
    throw new Failure("FV-CFG-003", `${path}:${error.line}: ${reason}`, {
      because: `column ${error.column}: ${withoutValue(source.split("\n")[error.line - 1] ?? "")}`,
    });
  }
}

/** Enough to know the line again. What is behind the `=`, or alone on a line, may be the token. */
function withoutValue(line: string): string {
  const shown = /^\s*(\[[^\]"']*\]|[\w.-]+\s*=)/.exec(line)?.[1] ?? "";
  return shown.endsWith("=") || shown === "" ? `${shown} …`.trim() : shown;
}

function unreadable(path: string, error: unknown): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT" || code === "ENOTDIR")
    return new Failure("FV-CFG-001", `there is no configuration file "${path}"`, {
      because: "it says where your vaults are and whom to trust",
      fix: "fly-vault help config  shows one to start from",
    });
  if (typeof code !== "string") return error;
  return new Failure("FV-CFG-002", `"${path}" cannot be read`, { because: code });
}

function decodeText(path: string, bytes: Uint8Array): string {
  try {
    // The mark that Windows editors put first is dropped by the decoder.
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Failure("FV-CFG-003", `"${path}" is not UTF-8 text`);
  }
}

function refuseReadableSecrets(file: ConfigFile): void {
  const holdsSecret = Object.values(tableOf(file, "vault")).some(
    (table) =>
      isTable(table) &&
      (Object.hasOwn(table, "access_token") || Object.hasOwn(table, "admission_key")),
  );
  if (!holdsSecret || (file.mode & 0o077) === 0) return;
  throw new Failure(
    "FV-CFG-007",
    `others can read or write "${file.path}", which holds a token or key`,
    {
      because: `its mode is 0${file.mode.toString(8)}, it should be 0600`,
      fix: `chmod 600 '${file.path}'`,
    },
  );
}

function tableOf(file: ConfigFile, key: string): Readonly<Record<string, unknown>> {
  const value = Object.hasOwn(file.root, key) ? file.root[key] : {};
  if (isTable(value)) return value;
  throw new Failure(
    "FV-CFG-004",
    `${place(file, [], key)}: "${key}" must be a table [${key}.NAME]`,
  );
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function unknownVault(name: string, known: readonly string[], path: string): Failure {
  const near = nearest(name, known);
  const listed = known.slice(0, clientLimits.namesListedMax).join(", ");
  return new Failure(
    "FV-CFG-005",
    `there is no vault "${name}"${near === undefined ? "" : ` (did you mean ${near}?)`}`,
    {
      because: known.length === 0 ? `${path} names no vault` : `${path} has ${listed}`,
      ...(known.length === 0 ? { fix: "fly-vault help config  shows one to start from" } : {}),
    },
  );
}

function checkName(name: string, file: ConfigFile): void {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name) && name !== "constructor") return;
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
    if (!Object.hasOwn(table, key))
      throw new Failure("FV-CFG-006", `${place(file, ["vault", name])}: "${key}" is missing`, {
        fix: "fly-vault help config  explains every key",
      });
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
    .filter((key) => key !== "vault")
    .map((key) => `${place(file, [], key)}: unknown key "${key}"${didYouMean(key, ["vault"])}`);
  return [...atTop, ...inVault];
}

function place(file: ConfigFile, table: readonly string[], key?: string): string {
  const line = tomlPosition(file.source, key === undefined ? table : [...table, key]);
  return line === undefined ? file.path : `${file.path}:${line}`;
}
