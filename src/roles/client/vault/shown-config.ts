import { expandPath } from "../../../cli/paths.ts";
import { tomlKey, tomlString } from "../../../cli/toml-words.ts";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { tokenStrength } from "../../../fly/token.ts";
import { readAccessToken } from "./access-token.ts";
import type { VaultConfig } from "./vault-config.ts";
import { readAdmissionKey } from "./vault-schema.ts";

/** Configuration for showing: what is secret is cut down to what tells one from another. */

/** The last characters of ours are a checksum; other words are not shown at all. */
function maskToken(token: string): string {
  return tokenStrength(token) === "strong" ? `fvt1_…${token.slice(-4)}` : "…";
}

function maskAdmissionKey(text: string): string {
  const key = readAdmissionKey(text);
  return key === undefined ? "…" : `fva1_${key.epoch}_${key.machineId}_…`;
}

/** A value of a vault's table without what is secret in it. */
export function maskedValue(key: string, value: unknown): unknown {
  if (key === "access_token") return typeof value === "string" ? maskToken(value) : "…";
  if (key === "admission_key") return typeof value === "string" ? maskAdmissionKey(value) : "…";
  return value;
}

/** `fvt1_…a1b2 (keychain)`; a command is named and not run. Undefined where there is none. */
export async function shownToken(
  vault: VaultConfig,
  context: Context,
): Promise<string | undefined> {
  const { token, access_token } = vault;
  if (token !== undefined && "command" in token) return `… (command ${token.command[0] ?? ""})`;
  if (token === undefined && access_token === undefined) return undefined;
  const place = placeOf(vault, context);
  const { FLY_VAULT_TOKEN: _token, FLY_VAULT_TOKEN_FILE: _file, ...env } = context.env;
  try {
    const read = await readAccessToken(vault, { ...context, env }, undefined);
    return `${maskToken(read.token)} (${place})`;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return `none (${place}: ${error.because ?? error.message})`;
  }
}

function placeOf({ token, folder }: VaultConfig, { env }: Context): string {
  if (token === undefined) return "configuration";
  return "file" in token ? `file ${expandPath(token.file, env, folder)}` : "keychain";
}

/** As TOML writes it on one line. */
export function tomlValue(value: unknown): string {
  if (typeof value === "string") return tomlString(value);
  if (Array.isArray(value)) return `[${value.map(tomlValue).join(", ")}]`;
  if (value instanceof Date) return value.toISOString();
  if (typeof value !== "object" || value === null) return String(value);
  const members = Object.entries(value).map(
    ([key, member]) => `${tomlKey(key)} = ${tomlValue(member)}`,
  );
  return `{ ${members.join(", ")} }`;
}
