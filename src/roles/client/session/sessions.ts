import { defineCommand } from "../../../cli/command.ts";
import { counted } from "../../../cli/counted.ts";
import { renderTable, renderTabs } from "../../../cli/table.ts";
import { overVault } from "../link/over-vault.ts";
import { type ListedSession, listSessions } from "./session-choice.ts";
import { sessionData, sessionDocument } from "./session-json.ts";
import { sessionHeads, sessionRows } from "./session-rows.ts";
import { linkFlags, readVault, vaultPositional } from "../link/vault-link.ts";

export const sessions = defineCommand({
  name: "sessions",
  summary: "List the sessions of a vault",
  positionals: { vault: vaultPositional },
  flags: {
    all: { summary: "also those without a name that ended before the eyes of their client" },
    output: { short: "o", value: "FORMAT", choices: ["table", "tsv"], summary: "how to print it" },
    json: { summary: "print them as JSON" },
    ...linkFlags,
  },
  description:
    "Oldest first. NAME is the id of one that has none; ATTACHED how many clients have it, OUTPUT all that it wrote so far, NOTE the --context. What has ended is kept for a day.",
  examples: [
    "fly-vault sessions my-dev",
    "fly-vault sessions my-dev --json | jq -r '.data[] | select(.state == \"running\").session_id'",
  ],
  seeAlso: ["fly-vault logs", "fly-vault attach", "fly-vault kill", "fly-vault help json"],
  run: async ({ flags, positionals, global }, context) => {
    const vault = await readVault(positionals.vault, { flags, global }, context);
    const { name } = vault.config;
    return overVault(vault, { flags, global }, context, async ({ link }) => {
      const all = await listSessions(link);
      const shown = flags.all ? all : all.filter(isOfInterest);
      const hidden = all.length - shown.length;
      if (flags.json) {
        await context.stdout.write(sessionDocument("sessions", shown.map(sessionData)));
        return 0;
      }
      if (shown.length > 0) {
        const render = flags.output === "tsv" ? renderTabs : renderTable;
        await context.stdout.write(render(sessionHeads, sessionRows(shown, context)));
      } else if (!global.quiet) {
        const more = hidden === 0 ? "" : `, and ${counted(hidden, "command")} that ended (--all)`;
        const hint = `fly-vault run ${name} -- COMMAND`;
        await context.stderr.write(`no sessions on "${name}" yet (${hint})${more}\n`);
      }
      return 0;
    });
  },
});

/** A command whose client saw its end is of interest to nobody any more; there are many of them. */
function isOfInterest({ state, name, seen }: ListedSession): boolean {
  return state === "running" || name !== undefined || seen !== true;
}
