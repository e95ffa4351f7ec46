import { defineCommand } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { formatSize, parseSize } from "../../../cli/size.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import type { SessionReply } from "../../../protocol/session-message.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import { clientLimits } from "../limits.ts";
import { overVault } from "../link/over-vault.ts";
import { findSession } from "./session-choice.ts";
import { jsonErrors } from "./session-flags.ts";
import { attachRequest, randomName } from "./session-request.ts";
import { type SessionIo, SessionRun, type SessionPlan } from "./session-run.ts";
import { linkFlags, readVault, vaultPositional } from "../link/vault-link.ts";

export const logs = defineCommand({
  name: "logs",
  summary: "Show what a session of a vault wrote, without touching it",
  positionals: { vault: vaultPositional, session: { name: "SESSION" } },
  flags: {
    follow: { short: "f", summary: "go on with what it writes, until it ends" },
    tail: { value: "N", summary: "no more than the last N lines of each output" },
    "tail-bytes": { value: "SIZE", summary: "no more than the last SIZE of each output" },
    json: jsonErrors,
    ...linkFlags,
  },
  description:
    "Standard output and standard error stay apart; a terminal has one output. Where older output gave way, standard error says how much. With -f a lost link is waited for and nothing comes twice.",
  examples: [
    "fly-vault logs my-dev build --tail 20",
    "fly-vault logs -f my-dev build",
    "fly-vault logs my-dev build 2>/dev/null | grep warning",
  ],
  exitStatus: "0 shown, whatever the command's own; 3 no such session, 255 no link",
  seeAlso: ["fly-vault attach", "fly-vault wait"],
  run: async ({ flags, positionals, global }, context) => {
    const tail = tailOf(flags.tail, flags["tail-bytes"]);
    const vault = await readVault(
      positionals.vault,
      { flags, global, next: positionals.session },
      context,
    );
    const { name } = vault.config;
    const wish = { flags, global, reconnectMs: clientLimits.reconnectMs };
    return overVault(vault, wish, context, async ({ link }) => {
      const found = await findSession(link, positionals.session, name);
      const { session_id: session, generation } = found;
      const client = randomName(context);
      const first = [
        attachRequest(session, client, undefined, { mode: "view", generation, ...tail }),
      ];
      await new SessionLog(context, { client, first }).show(link, flags.follow);
      return 0;
    });
  },
});

function tailOf(
  lines: string | undefined,
  size: string | undefined,
): { readonly tail_lines?: number; readonly tail_bytes?: number } {
  if (lines !== undefined && !/^\d{1,9}$/.test(lines))
    throw new UsageError(`--tail must be a number of lines, not "${lines}"`);
  const bytes = size === undefined ? undefined : parseSize(size);
  if (size !== undefined && bytes === undefined)
    throw new UsageError(`--tail-bytes must be a size such as 4096 or 64KiB, not "${size}"`);
  return {
    ...(lines === undefined ? {} : { tail_lines: Number(lines) }),
    ...(bytes === undefined ? {} : { tail_bytes: bytes }),
  };
}

class SessionLog {
  readonly #context: Context;
  readonly #plan: SessionPlan;
  /** Where each output stood when it was asked for; there one who does not follow stops. */
  #ends: SessionReply["view"];

  constructor(context: Context, plan: SessionPlan) {
    this.#context = context;
    this.#plan = plan;
  }

  async show(link: AttestedLink, follow: boolean): Promise<void> {
    const complete = Promise.withResolvers<void>();
    const look = (): void => {
      if (this.#leftBytes("stdout") <= 0 && this.#leftBytes("stderr") <= 0) complete.resolve();
    };
    const io: SessionIo = {
      output: async (stream, bytes) => {
        await this.#write(stream, bytes);
        look();
      },
      lost: async (stream, lostBytes) => {
        await this.#context.stderr.write(
          `… ${formatSize(lostBytes)} of ${stream} were dropped …\n`,
        );
        look();
      },
      attached: ({ view }, again) => {
        if (follow) return;
        if (!again) this.#ends = view;
        look();
      },
    };
    this.#run = new SessionRun(link, this.#plan, io);
    await Promise.race([this.#run.run(), complete.promise]);
  }

  #run: SessionRun | undefined;

  async #write(stream: "stdout" | "stderr", bytes: Uint8Array): Promise<void> {
    const beyond = Math.max(0, -this.#leftBytes(stream));
    if (beyond < bytes.length)
      await this.#context[stream].write(bytes.subarray(0, bytes.length - beyond));
  }

  /** Up to the end that was asked for; below zero beyond it. */
  #leftBytes(stream: "stdout" | "stderr"): number {
    const shown = this.#run?.shown;
    if (this.#ends === undefined || shown === undefined) return Number.POSITIVE_INFINITY;
    return this.#ends[`${stream}_end`] - shown[`${stream}_offset`];
  }
}
