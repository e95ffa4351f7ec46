import { defineCommand } from "../../../cli/command.ts";
import { jsonText } from "../../../cli/json-document.ts";
import { overVault } from "../link/over-vault.ts";
import { listSessions } from "./session-choice.ts";
import { linkFlags, readVault, vaultPositional } from "../link/vault-link.ts";

export const listExec = defineCommand({
  name: "list-exec",
  summary: "List the sessions of a vault as JSON",
  positionals: { vault: vaultPositional },
  flags: linkFlags,
  description:
    "One array, oldest first; each session has session_id, argv, context, attached and exit_code (null while it runs). Beside them: name, state, exit, user, cwd, pid, tty, clients, attachments, stdout_bytes, stderr_bytes, started_at, ended_at, generation, seen.",
  examples: ["fly-vault list-exec my-dev | jq -r '.[].session_id'"],
  seeAlso: ["fly-vault sessions"],
  run: async ({ flags, positionals, global }, context) => {
    const vault = await readVault(positionals.vault, { flags, global }, context);
    return overVault(vault, { flags, global }, context, async ({ link }) => {
      const sessions = await listSessions(link);
      await context.stdout.write(`${jsonText(sessions, 2)}\n`);
      return 0;
    });
  },
});
