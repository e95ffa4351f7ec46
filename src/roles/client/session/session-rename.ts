import { defineCommand } from "../../../cli/command.ts";
import { emptyReplySchema } from "../../../protocol/message.ts";
import { askOnce } from "../link/ask-once.ts";
import { overVault } from "../link/over-vault.ts";
import { findSession } from "./session-choice.ts";
import { checkedName, jsonErrors } from "./session-flags.ts";
import { linkFlags, readVault, vaultPositional } from "../link/vault-link.ts";

export const sessionRename = defineCommand({
  name: "session rename",
  summary: "Give a session of a vault a name, or another one",
  positionals: { vault: vaultPositional, session: { name: "SESSION" }, name: { name: "NAME" } },
  flags: { json: jsonErrors, ...linkFlags },
  description:
    "The id stays what it is. One that has ended loses its name to one that runs; among those that run a name is there once.",
  examples: ["fly-vault session rename my-dev 4f1c build"],
  exitStatus: "0 done, 3 no such session, 7 another one that runs has that name",
  seeAlso: ["fly-vault sessions"],
  run: async ({ flags, positionals, global }, context) => {
    const name = checkedName("NAME", positionals.name) ?? "";
    const vault = await readVault(
      positionals.vault,
      { flags, global, next: positionals.session },
      context,
    );
    return overVault(vault, { flags, global }, context, async ({ link }) => {
      const found = await findSession(link, positionals.session, vault.config.name);
      const { session_id: session, generation } = found;
      const message = { type: "session-rename", session, generation, name } as const;
      await askOnce(link, message, emptyReplySchema);
      return 0;
    });
  },
});
