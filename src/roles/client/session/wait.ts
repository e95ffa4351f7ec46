import { defineCommand } from "../../../cli/command.ts";
import { formatDuration } from "../../../cli/duration.ts";
import { Failure } from "../../../cli/failure.ts";
import { FrameStream } from "../../../protocol/frame.ts";
import { request } from "../../../protocol/message.ts";
import { type Exit, sessionEndSchema } from "../../../protocol/session-message.ts";
import { late, within } from "../../../system/within.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import { finishedStatus } from "./exit-status.ts";
import { clientLimits } from "../limits.ts";
import { overLink } from "../link/over-link.ts";
import { overVault } from "../link/over-vault.ts";
import { findSession, type ListedSession } from "./session-choice.ts";
import { durationOf } from "./session-flags.ts";
import { endingOf, sessionDocument } from "./session-json.ts";
import { linkFlags, readVault, vaultPositional } from "../link/vault-link.ts";

export const wait = defineCommand({
  name: "wait",
  summary: "Wait for the end of a session, and end as it does",
  positionals: { vault: vaultPositional, session: { name: "SESSION" } },
  flags: {
    timeout: { value: "DURATION", summary: "wait no longer than this, exit 124" },
    json: { summary: "print how it ended as JSON" },
    ...linkFlags,
  },
  description: "One that has ended already is answered at once. Prints nothing.",
  examples: ["fly-vault wait my-dev build; echo $?", "fly-vault wait my-dev build --timeout 10m"],
  exitStatus:
    "the command's own, as exec; 124 the time ran out, of the command or of the wait; 3 no such session, 255 no link",
  seeAlso: ["fly-vault run", "fly-vault sessions"],
  run: async ({ flags, positionals, global }, context) => {
    const timeoutMs = durationOf("--timeout", flags.timeout);
    const vault = await readVault(
      positionals.vault,
      { flags, global, next: positionals.session },
      context,
    );
    const { name } = vault.config;
    const wish = { flags, global, reconnectMs: clientLimits.reconnectMs };
    return overVault(vault, wish, context, async ({ link }) => {
      const session = await findSession(link, positionals.session, name);
      const ending = session.exit ?? (await within(endOf(link, session), waitMs(timeoutMs)));
      if (ending === late) throw stillRuns(positionals.session, name, timeoutMs);
      if (flags.json) {
        const data = { session_id: session.session_id, ...endingOf(ending) };
        await context.stdout.write(sessionDocument("wait", data));
      }
      return finishedStatus(ending, context);
    });
  },
});

/** However long it takes, and over however many connections. */
async function endOf(link: AttestedLink, session: ListedSession): Promise<Exit> {
  const message = {
    type: "session-wait",
    session: session.session_id,
    generation: session.generation,
  } as const;
  for (;;) {
    const { exit } = await overLink(link, async (connection) => {
      const frames = new FrameStream(await connection.openStream());
      return request(frames, message, sessionEndSchema);
    });
    // The machine waits for some weeks at a time.
    if (exit !== undefined) return exit;
  }
}

function waitMs(timeoutMs: number | undefined): number {
  return Math.min(timeoutMs ?? clientLimits.waitMsMax, clientLimits.waitMsMax);
}

function stillRuns(session: string, vault: string, timeoutMs: number | undefined): Failure {
  const waited = formatDuration(waitMs(timeoutMs));
  return new Failure("FV-SES-004", `session "${session}" on "${vault}" still runs`, {
    because: `waited ${waited}`,
    fix: `fly-vault logs -f ${vault} ${session}`,
  });
}
