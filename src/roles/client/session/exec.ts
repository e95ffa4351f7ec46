import { defineCommand } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import type { SessionOpenRequest } from "../../../protocol/session-message.ts";
import { autoForwardFlag } from "../forward/auto-forward-flag.ts";
import { portsBeside } from "../forward/ports-beside.ts";
import { agentFlag, offeredAgent } from "../ssh/agent-flag.ts";
import { Foreground, type ForegroundSession } from "./foreground.ts";
import { clientLimits } from "../limits.ts";
import type { AttestedLink, LinkState } from "../link/attested-link.ts";
import { overVault, type VaultWork } from "../link/over-vault.ts";
import {
  checkedName,
  escapeFlag,
  inPlace,
  jsonErrors,
  startFields,
  startFlags,
} from "./session-flags.ts";
import { openRequest, randomName } from "./session-request.ts";
import { statusFlags, withStatus } from "./status-report.ts";
import { linkFlags, readVault, vaultPositional } from "../link/vault-link.ts";

export const exec = defineCommand({
  name: "exec",
  summary: "Run a command in a vault, as a pipe",
  positionals: { vault: vaultPositional },
  flags: {
    ...startFlags,
    ...escapeFlag,
    session: { value: "ID", summary: "name the session; if it is there, attach to it" },
    ...autoForwardFlag,
    ...agentFlag,
    ...statusFlags,
    json: jsonErrors,
    ...linkFlags,
  },
  passthrough: { name: "COMMAND [ARG…]", optional: true },
  description:
    "The words of COMMAND arrive as they are; there is no shell in between. Ctrl-C is sent to the command, twice ends this client. When the link is lost for longer than --reconnect (2m, on a terminal without end), the command goes on and its session is named; `attach` comes back to it.",
  examples: [
    "fly-vault exec my-dev -- ls -la /",
    "tar c src | fly-vault exec my-dev -- tar x -C /work",
    "fly-vault exec -t my-dev htop",
  ],
  exitStatus:
    "the command's own; 124 timeout, 125 could not be started, 126/127 not executable / not found, 128+n signal n, 255 no link",
  seeAlso: ["fly-vault run", "fly-vault list-exec", "fly-vault help exit-codes"],
  run: async ({ flags, positionals, rest, global }, context) => {
    const said = checkedName("--session", flags.session);
    if (rest.length === 0 && said === undefined)
      throw new UsageError("COMMAND is missing (or --session ID of one that runs)");
    const fields = startFields(flags, rest, context);
    return withStatus(flags["status-fd"], async (report) => {
      const vault = await readVault(positionals.vault, { flags, global }, context);
      const { name, env = {}, terminfo } = vault.config;
      const { escape } = flags;
      const { quiet } = global;
      const beside = await portsBeside(
        { said: flags["auto-forward"], otherwise: "off", quiet },
        vault.config,
        context,
      );
      const ports = beside?.ports;
      const foreground = new Foreground(context, { vault: name, report, quiet, escape, ports });
      const work = async ({ link, started }: VaultWork): Promise<number> => {
        beside?.forwards.use(link);
        const agent = await offeredAgent(flags, link, flags.user, context);
        const place = { env: { ...env, ...agent }, terminfo };
        const session =
          rest.length === 0 && said !== undefined
            ? await joined(link, said, name, context)
            : starting(said, inPlace(fields, place, context), global.quiet, context);
        if (global.verbose > 0) await context.stderr.write(`exec session ${session.session}\n`);
        started();
        return foreground.show(link, session);
      };
      // A person at a terminal decides for themselves when it is enough.
      const mayHaveTerminal = fields.tty || rest.length === 0;
      const onTerminal = mayHaveTerminal && context.stdin.isTty;
      const wish = {
        flags,
        global,
        ...(onTerminal ? {} : { reconnectMs: clientLimits.reconnectMs }),
        ready: {},
        onState: (state: LinkState) => {
          beside?.forwards.linkState(state);
          foreground.linkState(state);
        },
      };
      try {
        if (!mayHaveTerminal) return await overVault(vault, wish, context, work);
        return await foreground.onKeys(vault, async (watched, keys) =>
          overVault(watched, wish, keys, work),
        );
      } finally {
        await beside?.forwards.close();
      }
    });
  },
});

/** What `attach` does, and what it loads for it. */
async function joined(
  link: AttestedLink,
  said: string,
  vault: string,
  context: Context,
): Promise<ForegroundSession> {
  const { findSession } = await import("./session-choice.ts");
  const { joining } = await import("./session-join.ts");
  return joining(await findSession(link, said, vault), "take-over", context);
}

function starting(
  said: string | undefined,
  fields: Omit<SessionOpenRequest, "type" | "id" | "client">,
  quiet: boolean,
  context: Context,
): ForegroundSession {
  const session = said ?? randomName(context);
  const client = randomName(context);
  const plan = {
    client,
    label: fields.client_label,
    first: [openRequest({ id: session, client, ...fields })],
  };
  const onAttached: ForegroundSession["onAttached"] = (reply, again) => {
    if (again || reply.created || said === undefined || quiet) return;
    const note = `session "${said}" was there already: attached to it, nothing was started\n`;
    context.stderr.write(note).catch(() => undefined);
  };
  const { tty } = fields;
  return { plan, session, tty, guest: false, onAttached };
}
