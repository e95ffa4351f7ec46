import { defineCommand } from "../../../cli/command.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { emptyReplySchema } from "../../../protocol/message.ts";
import { askOnce } from "../link/ask-once.ts";
import { overVault } from "../link/over-vault.ts";
import { findSession } from "./session-choice.ts";
import { jsonErrors } from "./session-flags.ts";
import { parseSignal } from "./signal-name.ts";
import { linkFlags, readVault, vaultPositional } from "../link/vault-link.ts";

export const kill = defineCommand({
  name: "kill",
  summary: "Send a signal to a session of a vault",
  positionals: { vault: vaultPositional, session: { name: "SESSION" } },
  flags: {
    signal: { short: "s", value: "SIGNAL", summary: "a name or a number (default TERM)" },
    json: jsonErrors,
    ...linkFlags,
  },
  description:
    "To the program's process group. On a terminal INT, QUIT and TSTP go to what runs in the foreground there, as from its keyboard. A shell at its prompt is deaf to TERM: HUP ends it.",
  examples: ["fly-vault kill my-dev build", "fly-vault kill -s INT my-dev build"],
  exitStatus: "0 sent, 1 it has ended already, 3 no such session",
  seeAlso: ["fly-vault sessions", "fly-vault wait"],
  run: async ({ flags, positionals, global }, context) => {
    const said = flags.signal ?? "TERM";
    const signal = parseSignal(said);
    if (signal === undefined)
      throw new UsageError(`--signal ${said} is none (TERM, SIGTERM or 1 to 64)`);
    const vault = await readVault(
      positionals.vault,
      { flags, global, next: positionals.session },
      context,
    );
    return overVault(vault, { flags, global }, context, async ({ link }) => {
      const found = await findSession(link, positionals.session, vault.config.name);
      const { session_id: session, generation } = found;
      const to = ofKeyboard.has(signal) ? "foreground" : "program";
      const message = { type: "session-signal", session, generation, signal, to } as const;
      await askOnce(link, message, emptyReplySchema);
      return 0;
    });
  },
});

/** SIGINT, SIGQUIT and SIGTSTP: what a terminal sends of itself. */
const ofKeyboard: ReadonlySet<number> = new Set([2, 3, 20]);
