import { defineCommand } from "../../../cli/command.ts";
import { Failure } from "../../../cli/failure.ts";
import { RemoteError } from "../../../protocol/errors.ts";
import { FrameStream } from "../../../protocol/frame.ts";
import { request } from "../../../protocol/message.ts";
import {
  type SessionOpenRequest,
  type SessionReply,
  sessionReplySchema,
} from "../../../protocol/session-message.ts";
import { answer } from "../link/answer.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import { Foreground, type ForegroundSession } from "./foreground.ts";
import { clientLimits } from "../limits.ts";
import { overLink } from "../link/over-link.ts";
import { overVault, type VaultWork } from "../link/over-vault.ts";
import { checkedName, inPlace, startFields, startFlags } from "./session-flags.ts";
import { sessionDocument } from "./session-json.ts";
import { attachRequest, openRequest, randomName } from "./session-request.ts";
import { linkFlags, readVault, vaultPositional } from "../link/vault-link.ts";

export const run = defineCommand({
  name: "run",
  summary: "Start a command in a vault and leave it to itself",
  positionals: { vault: vaultPositional },
  flags: {
    name: { value: "NAME", summary: "what to call it, in place of its id" },
    attach: { summary: "stay with it, and with the one that runs if there is one of that name" },
    ...startFlags,
    json: { summary: "print id, name and generation as JSON" },
    ...linkFlags,
  },
  passthrough: { name: "COMMAND [ARG…]" },
  description:
    "Prints the id of its session and ends; the command goes on, with an empty standard input, and no client has to be there for what it writes. The last 4 MiB of it (VAULT_SESSION_OUTPUT) and how it ended are kept for a day. A name belongs to one session that runs at a time.",
  examples: [
    "id=$(fly-vault run my-dev -w /work -- make -j8)",
    "fly-vault run my-dev --name build --context 'nightly' -- make",
    "fly-vault wait my-dev build",
  ],
  exitStatus:
    "0 started, 7 a session of that name runs, 125 could not be started, 126/127 not executable / not found; with --attach as exec",
  seeAlso: ["fly-vault sessions", "fly-vault logs", "fly-vault attach", "fly-vault wait"],
  run: async ({ flags, positionals, rest, global }, context) => {
    const name = checkedName("--name", flags.name);
    const fields = startFields(flags, rest, context);
    const vault = await readVault(positionals.vault, { flags, global }, context);
    const wish = openRequest({
      id: randomName(context),
      client: randomName(context),
      ...inPlace(fields, vault.config, context),
      ...(name === undefined ? {} : { name }),
    });
    const given = { vault: vault.config.name, report: {}, quiet: global.quiet };
    const foreground = new Foreground(context, given);
    const work = async ({ link, started }: VaultWork): Promise<number> => {
      if (flags.attach) {
        started();
        return foreground.show(link, staying(wish));
      }
      const reply = await startAlone(link, wish, vault.config.name);
      const data = { session_id: reply.id, name: reply.name ?? null, generation: reply.generation };
      await context.stdout.write(flags.json ? sessionDocument("run", data) : `${reply.id}\n`);
      return 0;
    };
    const { reconnectMs } = clientLimits;
    const onState = foreground.linkState;
    const asked = { flags, global, reconnectMs, ready: {}, onState };
    if (!flags.attach || !fields.tty) return overVault(vault, asked, context, work);
    return foreground.onKeys(vault, async (watched, keys) => overVault(watched, asked, keys, work));
  },
});

/** Asked again with the same id after a lost link: that starts nothing twice. */
async function startAlone(
  link: AttestedLink,
  wish: SessionOpenRequest,
  vault: string,
): Promise<SessionReply> {
  try {
    return await overLink(link, async (connection) => {
      const frames = new FrameStream(await connection.openStream());
      const reply = await answer(request(frames, { ...wish, detach: true }, sessionReplySchema));
      await frames.stream.end();
      return reply;
    });
  } catch (error) {
    if (!(error instanceof RemoteError) || error.code !== "already-exists") throw error;
    throw new Failure("FV-SES-002", `a session "${wish.name}" runs already on "${vault}"`, {
      because: error.message,
      fix: `fly-vault attach ${vault} ${wish.name}, or another --name`,
    });
  }
}

/** The one that runs under that name, else a new one. */
function staying(wish: SessionOpenRequest): ForegroundSession {
  const { client, name, tty, rows, cols } = wish;
  const size = rows === undefined || cols === undefined ? undefined : { rows, cols };
  const join = name === undefined ? [] : [attachRequest(name, client, size)];
  return {
    plan: { client, label: wish.client_label, first: [wish, ...join] },
    session: name ?? wish.id,
    tty,
    guest: false,
    ownId: wish.id,
  };
}
