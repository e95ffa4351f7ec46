import { dirname } from "node:path";
import * as v from "valibot";
import type { Context } from "../../../cli/context.ts";
import { configPath } from "../../../cli/paths.ts";
import { tomlKey, tomlString } from "../../../cli/toml-words.ts";
import type { StoredToken } from "./token-store.ts";
import { isVaultName, type VaultConfig } from "./vault-config.ts";
import { vaultSchema } from "./vault-schema.ts";

/** A vault that is being set up; keys are those of the configuration. */
export interface VaultDraft {
  name?: string | undefined;
  address?: string | undefined;
  org?: string | undefined;
  app?: string | undefined;
  machine_id?: string | undefined;
  issuer?: string | undefined;
  admission_key?: string | undefined;
  web_address?: string | undefined;
  access_token?: string | undefined;
}

/** In the order of the configuration. */
const tableKeys = [
  "address",
  "org",
  "app",
  "machine_id",
  "issuer",
  "admission_key",
  "web_address",
] as const;
type DraftKey = keyof VaultDraft;

/** What is wrong with one answer, to be said after its name. */
export function answerProblem(key: DraftKey, value: string): string | undefined {
  if (key === "access_token") return undefined;
  if (key === "name")
    return isVaultName(value) ? undefined : 'must be 1 to 63 letters, digits, ".", "_" or "-"';
  const result = v.safeParse(vaultSchema.entries[key], value);
  return result.success ? undefined : result.issues[0].message;
}

/** What is wrong between the answers. */
export function draftProblem(draft: VaultDraft): string | undefined {
  const { name: _name, access_token: _token, ...table } = draft;
  const given = Object.entries(table).filter(([, value]) => value !== undefined);
  const result = v.safeParse(vaultSchema, Object.fromEntries(given));
  if (result.success) return undefined;
  const [issue] = result.issues;
  return `${v.getDotPath(issue) ?? "vault"} ${issue.message}`;
}

/** As if it stood in the file; what was not answered yet is empty. */
export function draftConfig(draft: VaultDraft, env: Context["env"]): VaultConfig {
  const path = configPath(env);
  const { access_token: _token, ...keys } = draft;
  const given = Object.entries(keys).filter(([, value]) => value !== undefined);
  return {
    address: "",
    org: "",
    app: "",
    forward: [],
    reverse_forward: [],
    dynamic_forward: [],
    ...Object.fromEntries(given),
    name: draft.name ?? draft.address ?? "",
    path,
    folder: dirname(path),
  };
}

export function draftLines(draft: VaultDraft, token: StoredToken | undefined): string[] {
  const lines = tableKeys.flatMap((key) => {
    const value = draft[key];
    return value === undefined ? [] : [`${tomlKey(key)} = ${tomlString(value)}`];
  });
  return token === undefined ? lines : [...lines, `${token.key} = ${token.value}`];
}
