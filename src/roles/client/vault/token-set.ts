import { defineCommand } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { canAsk } from "../../../cli/can-ask.ts";
import { Prompt } from "../../../cli/prompt.ts";
import { removeKey, setKey, type TomlEdit } from "../../../cli/toml-edit.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { systemKeychain } from "../../../system/keychain.ts";
import { readTokenFile } from "./access-token.ts";
import { editConfig } from "./config-edit.ts";
import { confirmFlags, confirmed, untilAborted } from "./prompting.ts";
import { endLinksOf } from "../shared-link/link-list.ts";
import {
  dropToken,
  type StoredToken,
  storeToken,
  tokenStoreFlag,
  tokenStoreOf,
} from "./token-store.ts";
import { loadChosenVault } from "./vault-choice.ts";
import type { VaultConfig } from "./vault-config.ts";
import { vaultPositional } from "../link/vault-link.ts";

export const tokenSet = defineCommand({
  name: "token set",
  summary: "Put the access token of a vault away, in place of the one before",
  positionals: { vault: vaultPositional },
  flags: {
    "token-file": { value: "FILE", summary: 'read it from here ("-": standard input)' },
    ...tokenStoreFlag,
  },
  description:
    "Asks for it on a terminal, without showing it; else reads one line of standard input. It goes to the keychain of the desktop, or where there is none into a file that you alone can read.",
  examples: ["fly-vault token set my-dev", "pass show my-dev | fly-vault token set my-dev"],
  run: async ({ flags, positionals, global }, context) =>
    untilAborted(context, async () => {
      const { vault } = await loadChosenVault(positionals.vault, { flags, global }, context);
      const token = await readToken(vault, flags, context);
      const store = tokenStoreOf(flags["token-store"]);
      const place = { vault: vault.name, store, keychain: systemKeychain };
      const stored = await storeToken(token, place, context.env);
      await point(vault, stored, context);
      await endLinksOf(vault, context.env);
      if (!global.quiet)
        await context.stderr.write(`the token of "${vault.name}" is ${stored.place}\n`);
      return 0;
    }),
});

export const tokenRm = defineCommand({
  name: "token rm",
  summary: "Forget the access token of a vault",
  positionals: { vault: vaultPositional },
  flags: confirmFlags,
  examples: ["fly-vault token rm my-dev"],
  run: async ({ flags, positionals, global }, context) =>
    untilAborted(context, async () => {
      const { vault } = await loadChosenVault(positionals.vault, { flags, global }, context);
      const question = `forget the access token of "${vault.name}"?`;
      const what = `forget the access token of "${vault.name}"`;
      if (!(await confirmed(question, { flags, what }, context))) return 1;
      await editConfig(context, () => without(vault, ["token", "access_token"]));
      const dropped = await dropToken(vault, systemKeychain, context.env);
      await endLinksOf(vault, context.env);
      if (!global.quiet)
        await context.stderr.write(`${dropped ?? `"${vault.name}" has no token any more`}\n`);
      return 0;
    }),
});

async function readToken(
  vault: VaultConfig,
  flags: { readonly "token-file": string | undefined },
  context: Context,
): Promise<string> {
  const file = flags["token-file"];
  if (file === undefined && context.stdin.isTty) {
    if (!canAsk(context)) throw new UsageError("no terminal to ask on: --token-file is missing");
    const { askToken } = await import("./vault-interview.ts");
    return askToken(vault.name, new Prompt(context), context);
  }
  return (await readTokenFile(vault, file ?? "-", context)).token;
}

/** The configuration says where the new one is; then the old one goes, or the new one where that failed. */
async function point(vault: VaultConfig, stored: StoredToken, context: Context): Promise<void> {
  const isSamePlace = Bun.deepEquals(vault.token, stored.parsed);
  const other = stored.key === "token" ? "access_token" : "token";
  try {
    await editConfig(context, () => [
      ...without(vault, [other]),
      setKey(["vault", vault.name], stored.key, stored.value),
    ]);
  } catch (error) {
    if (!isSamePlace)
      await dropToken({ ...vault, token: stored.parsed }, systemKeychain, context.env);
    throw error;
  }
  if (!isSamePlace) await dropToken(vault, systemKeychain, context.env);
}

function without(vault: VaultConfig, keys: readonly ("token" | "access_token")[]): TomlEdit[] {
  return keys
    .filter((key) => vault[key] !== undefined)
    .map((key) => removeKey(["vault", vault.name], key));
}
