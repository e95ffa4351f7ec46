import { readFileSync, realpathSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { parse, TomlError } from "smol-toml";
import { Failure } from "../../../cli/failure.ts";
import { shellWord } from "../../../cli/shell-word.ts";
import { tomlPosition } from "../../../cli/toml-position.ts";
import { checkPrivateFile, checkPrivateFolder, type FileOwner } from "./private-folder.ts";
import { clientLimits } from "../limits.ts";

/** A TOML file that a person writes. */
export interface ConfigFile {
  readonly path: string;
  readonly source: string;
  readonly root: Readonly<Record<string, unknown>>;
  readonly owner: FileOwner;
}

/** Throws a `Failure` that names file, line and column; never a value, which may be the token. */
export function readConfig(path: string): ConfigFile {
  let bytes: Uint8Array;
  let owner: FileOwner;
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw new Failure("FV-CFG-002", `"${path}" is not a file`);
    if (stat.size > clientLimits.configBytesMax)
      throw new Failure("FV-CFG-002", `"${path}" is ${stat.size} bytes long, not a configuration`);
    owner = stat;
    bytes = readFileSync(path);
  } catch (error) {
    throw unreadable(path, error);
  }
  const source = decodeText(path, bytes);
  try {
    return { path, source, root: parse(source, { unsafeKeyBehaviour: "keep" }), owner };
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
  if (error instanceof Failure) return error;
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT" || code === "ENOTDIR")
    return new Failure("FV-CFG-001", `there is no configuration file "${path}"`, {
      because: "it says where your vaults are and whom to trust",
      fix: "fly-vault add  makes one; fly-vault help config  shows one",
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

/** Others may read no secret in it, and nobody else may write it or put another file in its place. */
export function checkConfigModes(file: ConfigFile): void {
  checkPrivateFolder(dirname(file.path));
  checkPrivateFolder(dirname(realpathSync(file.path)));
  checkSecrets(file);
  checkPrivateFile(file.path, file.owner);
}

function checkSecrets(file: ConfigFile): void {
  const mode = file.owner.mode & 0o777;
  const holdsSecret = Object.values(tableOf(file, "vault")).some(
    (table) =>
      isTable(table) &&
      (Object.hasOwn(table, "access_token") || Object.hasOwn(table, "admission_key")),
  );
  if (!holdsSecret || (mode & 0o077) === 0) return;
  throw new Failure(
    "FV-CFG-007",
    `others can read or write "${file.path}", which holds a token or key`,
    {
      because: `its mode is 0${mode.toString(8)}, it should be 0600`,
      fix: `chmod 600 ${shellWord(file.path)}`,
    },
  );
}

export function tableOf(file: ConfigFile, key: string): Readonly<Record<string, unknown>> {
  const value = Object.hasOwn(file.root, key) ? file.root[key] : {};
  if (isTable(value)) return value;
  throw new Failure(
    "FV-CFG-004",
    `${place(file, [], key)}: "${key}" must be a table [${key}.NAME]`,
  );
}

export function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `path:line` of a key, else the path alone. */
export function place(file: ConfigFile, table: readonly string[], key?: string): string {
  const line = tomlPosition(file.source, key === undefined ? table : [...table, key]);
  return line === undefined ? file.path : `${file.path}:${line}`;
}
