import { defineCommand } from "../../../cli/command.ts";
import { stateDirectory } from "../../../cli/paths.ts";
import { removeKey, removeTable } from "../../../cli/toml-edit.ts";
import { systemKeychain } from "../../../system/keychain.ts";
import { editConfig } from "./config-edit.ts";
import { KnownMachines } from "./known-machines.ts";
import { confirmFlags, confirmed, untilAborted } from "./prompting.ts";
import { endLinksOf } from "../shared-link/link-list.ts";
import { dropToken } from "./token-store.ts";
import { isTable } from "./config-file.ts";
import { readOverview, vaultOf } from "./vault-config.ts";

export const vaultRm = defineCommand({
  name: "vault rm",
  summary: "Take a vault and its token out of the configuration",
  positionals: { vault: { name: "VAULT" } },
  flags: confirmFlags,
  description:
    "The machine is not touched. Without its token nobody gets in any more, so you are asked first. Comments and the other vaults stay as they are.",
  examples: ["fly-vault vault rm my-dev", "fly-vault vault rm my-dev --yes"],
  run: async ({ flags, positionals, global }, context) =>
    untilAborted(context, async () => {
      const name = positionals.vault;
      const overview = readOverview(context.env);
      const table = overview.vaults[name];
      // One that is written wrong can be taken out, too; one that is not there is looked up for its failure.
      const vault =
        isTable(table) && !isWhole(overview, name) ? undefined : vaultOf(overview, name).vault;
      const question = `take "${name}" and its token out of ${overview.file.path}?`;
      if (!(await confirmed(question, { flags, what: `take "${name}" out` }, context))) return 1;
      const isDefault = overview.defaultVault === name;
      await editConfig(context, () => [
        removeTable(["vault", name]),
        ...(isDefault ? [removeKey([], "default_vault")] : []),
      ]);
      const dropped = vault && (await dropToken(vault, systemKeychain, context.env));
      await endLinksOf({ name, path: overview.file.path }, context.env);
      await new KnownMachines(stateDirectory(context.env)).forget(name);
      if (global.quiet) return 0;
      for (const line of [`"${name}" is out of the configuration`, dropped])
        if (line !== undefined) await context.stderr.write(`${line}\n`);
      return 0;
    }),
});

function isWhole(overview: ReturnType<typeof readOverview>, name: string): boolean {
  try {
    vaultOf(overview, name);
    return true;
  } catch {
    return false;
  }
}
