import { unlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { configPath, expandPath } from "../../../cli/paths.ts";
import { tomlString } from "../../../cli/toml-words.ts";
import { hasCode } from "../../../system/filesystem.ts";
import { type Keychain, KeychainError } from "../../../system/keychain.ts";
import { writePrivateFile } from "../../../system/private-file.ts";
import { keychainAccount } from "./keychain-account.ts";
import type { VaultConfig } from "./vault-config.ts";

const tokenStores = ["auto", "keychain", "file", "config"] as const;
export type TokenStore = (typeof tokenStores)[number];

export const tokenStoreFlag = {
  "token-store": {
    value: "PLACE",
    choices: tokenStores,
    summary: "where the token is kept (default auto: the keychain, else a file)",
  },
} as const;

/** `--token-store`; the parser knows its values. */
export function tokenStoreOf(text: string | undefined): TokenStore {
  return tokenStores.find((store) => store === text) ?? "auto";
}

/** What the configuration says of a token that was put away, and what a person is told. */
export interface StoredToken {
  readonly key: "token" | "access_token";
  /** As TOML. */
  readonly value: string;
  /** As the configuration is read; undefined for `access_token`. */
  readonly parsed: VaultConfig["token"];
  readonly place: string;
}

/** Puts a token where `auto` or the user wants it. Rejects with `Failure` where it cannot be. */
export async function storeToken(
  token: string,
  to: { readonly vault: string; readonly store: TokenStore; readonly keychain: Keychain },
  env: Context["env"],
): Promise<StoredToken> {
  const path = configPath(env);
  if (to.store === "config")
    return {
      key: "access_token",
      value: tomlString(token),
      parsed: undefined,
      place: `in ${path}, as it stands`,
    };
  if (to.store !== "file") {
    try {
      await to.keychain.set(keychainAccount(to.vault, path), token);
      return {
        key: "token",
        value: "{ keychain = true }",
        parsed: { keychain: true },
        place: "in the keychain",
      };
    } catch (error) {
      if (!(error instanceof KeychainError)) throw error;
      if (to.store === "keychain") throw noKeychain(error);
    }
  }
  const name = `${to.vault}.token`;
  const file = join(dirname(path), name);
  await writePrivateFile(file, new TextEncoder().encode(`${token}\n`));
  const why = to.store === "auto" ? " (there is no keychain here)" : "";
  return {
    key: "token",
    value: `{ file = ${tomlString(name)} }`,
    parsed: { file: name },
    place: `in ${file}${why}`,
  };
}

/** Takes the token out of where `storeToken` had put it; a file elsewhere is its owner's. */
export async function dropToken(
  vault: Pick<VaultConfig, "name" | "path" | "folder" | "token">,
  keychain: Keychain,
  env: Context["env"],
): Promise<string | undefined> {
  if (vault.token === undefined) return undefined;
  if ("keychain" in vault.token) {
    try {
      const removed = await keychain.remove(keychainAccount(vault.name, vault.path));
      return removed ? "the token is out of the keychain" : undefined;
    } catch (error) {
      if (error instanceof KeychainError) return `the keychain was not asked: ${error.message}`;
      throw error;
    }
  }
  if (!("file" in vault.token)) return undefined;
  const file = expandPath(vault.token.file, env, vault.folder);
  if (resolve(file) !== resolve(vault.folder, `${vault.name}.token`))
    return `the token stays in ${file}`;
  try {
    await unlink(file);
    return `removed ${file}`;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

function noKeychain(error: KeychainError): Failure {
  return new Failure("FV-CFG-008", "the keychain did not take the token", {
    because: error.message,
    fix: "--token-store file  keeps it in a file that you alone can read",
  });
}
