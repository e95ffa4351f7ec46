import { defineCommand } from "../../../cli/command.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { autoForwardFlag } from "../forward/auto-forward-flag.ts";
import { portsBeside } from "../forward/ports-beside.ts";
import type { LinkState } from "../link/attested-link.ts";
import { Foreground } from "./foreground.ts";
import { clientLimits } from "../limits.ts";
import { overVault, type VaultWork } from "../link/over-vault.ts";
import { findSession } from "./session-choice.ts";
import { escapeFlag, jsonErrors } from "./session-flags.ts";
import { joining } from "./session-join.ts";
import { statusFlags, withStatus } from "./status-report.ts";
import { linkFlags, readVault, vaultPositional } from "../link/vault-link.ts";

export const attach = defineCommand({
  name: "attach",
  summary: "Come back to a session of a vault, and stay until it ends",
  positionals: { vault: vaultPositional, session: { name: "SESSION" } },
  flags: {
    share: { summary: "beside the clients that have it" },
    "take-over": { summary: "in place of the clients that have it (default)" },
    ...escapeFlag,
    ...autoForwardFlag,
    ...statusFlags,
    json: jsonErrors,
    ...linkFlags,
  },
  description:
    "On a terminal or as a pipe, as the session was started. What is kept of its output is shown first. On a terminal ~. leaves it; on pipes Ctrl-C is sent to the command, and twice leaves it. SESSION is a name, an id, or the beginning of an id.",
  examples: ["fly-vault attach my-dev build", "fly-vault attach my-dev main --share"],
  exitStatus:
    "the command's own, as exec; 0 after ~. ; 3 no such session, 7 taken over by another client, 255 no link",
  seeAlso: ["fly-vault sessions", "fly-vault logs", "fly-vault help escapes"],
  run: async ({ flags, positionals, global }, context) => {
    if (flags.share && flags["take-over"])
      throw new UsageError("--share and --take-over exclude each other");
    const mode = flags.share ? "share" : "take-over";
    return withStatus(flags["status-fd"], async (report) => {
      const vault = await readVault(
        positionals.vault,
        { flags, global, next: positionals.session },
        context,
      );
      const { config } = vault;
      const { quiet } = global;
      const { isTty } = context.stdin;
      // As beside `connect`: a person is told of ports, a script asks for them.
      const otherwise = isTty ? (config.auto_forward ?? "on") : "off";
      const choice = { said: flags["auto-forward"], otherwise, quiet };
      const beside = await portsBeside(choice, config, context);
      const foreground = new Foreground(context, {
        vault: config.name,
        report,
        quiet,
        escape: flags.escape,
        ports: beside?.ports,
      });
      const work = async ({ link, started }: VaultWork): Promise<number> => {
        beside?.forwards.use(link);
        const found = await findSession(link, positionals.session, config.name);
        started();
        return foreground.show(link, joining(found, mode, context));
      };
      const onState = (state: LinkState): void => {
        beside?.forwards.linkState(state);
        foreground.linkState(state);
      };
      const patience = isTty ? {} : { reconnectMs: clientLimits.reconnectMs };
      const wish = { flags, global, ...patience, onState };
      try {
        return await foreground.onKeys(vault, async (watched, keys) =>
          overVault(watched, wish, keys, work),
        );
      } finally {
        await beside?.forwards.close();
      }
    });
  },
});
