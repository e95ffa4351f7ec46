import { defineCommand } from "../../../cli/command.ts";
import { removeKey, setKey } from "../../../cli/toml-edit.ts";
import { tomlString } from "../../../cli/toml-words.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { editConfig } from "./config-edit.ts";
import { readOverview, vaultOf } from "./vault-config.ts";

export const vaultUse = defineCommand({
  name: "vault use",
  summary: "Make a vault the one that is meant when none is named",
  positionals: { vault: { name: "VAULT", optional: true } },
  flags: { unset: { summary: "have no such vault any more" } },
  description:
    "The word on the command line, FLY_VAULT_VAULT and a project's .fly-vault.toml come before it.",
  examples: ["fly-vault vault use my-dev", "fly-vault vault use --unset"],
  run: async ({ flags, positionals, global }, context) => {
    const { vault } = positionals;
    if ((vault === undefined) !== flags.unset)
      throw new UsageError(flags.unset ? "--unset goes without VAULT" : "VAULT is missing");
    const overview = readOverview(context.env);
    if (vault !== undefined) vaultOf(overview, vault);
    else if (overview.defaultVault === undefined) return 0;
    const edit =
      vault === undefined
        ? removeKey([], "default_vault")
        : setKey([], "default_vault", tomlString(vault));
    await editConfig(context, () => [edit]);
    const told =
      vault === undefined
        ? "there is no default vault any more"
        : `"${vault}" is the default vault`;
    if (!global.quiet) await context.stderr.write(`${told}\n`);
    return 0;
  },
});
