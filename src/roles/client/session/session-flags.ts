import { readFileSync } from "node:fs";
import type { Flags } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { parseDuration } from "../../../cli/duration.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { limits } from "../../../protocol/limits.ts";
import type { SessionOpenRequest } from "../../../protocol/session-message.ts";
import { clientLabel, terminalSize } from "./session-request.ts";
import { surroundings } from "./surroundings.ts";
import type { VaultConfig } from "../vault/vault-config.ts";

/** How a command is started; the same for those that stay with it and those that leave. */
export const startFlags = {
  tty: {
    short: "t",
    negatable: true,
    negativeShort: "T",
    summary: "give the command a terminal, or none (default: none)",
  },
  env: {
    short: "e",
    value: "KEY=VALUE",
    repeatable: true,
    summary: "set a variable; KEY alone copies ours",
  },
  workdir: { short: "w", value: "DIR", summary: "start there (default: home)" },
  user: { short: "u", value: "USER", summary: "run as this user (default: root)" },
  timeout: { value: "DURATION", summary: "end the command after this long, exit 124" },
  context: { value: "TEXT", summary: "a note that sessions and list-exec show" },
} as const satisfies Flags;

export const escapeFlag = {
  escape: {
    value: "KEY",
    summary: "on a terminal, the escape key: one character, ^X or none (default ~)",
  },
} as const satisfies Flags;

/** Of commands that print nothing themselves. */
export const jsonErrors = { summary: "an error of this client as JSON" } as const;

export interface StartFlagValues {
  readonly tty: boolean | undefined;
  readonly env: readonly string[];
  readonly workdir: string | undefined;
  readonly user: string | undefined;
  readonly timeout: string | undefined;
  readonly context: string | undefined;
}

/** What of a `session-open` the user decides. Throws `UsageError`. */
export function startFields(
  flags: StartFlagValues,
  argv: readonly string[],
  context: Context,
): Omit<SessionOpenRequest, "type" | "id" | "client"> {
  const timeoutMs = durationOf("--timeout", flags.timeout);
  const tty = flags.tty ?? false;
  const note = flags.context;
  if (argv.some((word) => word.includes(replacement)) && !areWordsWhole())
    throw new UsageError("a word of COMMAND is not UTF-8; hand its bytes over on standard input");
  if (note !== undefined && (/\p{Cc}/u.test(note) || Buffer.byteLength(note) > limits.noteBytesMax))
    throw new UsageError(`--context must be one line of at most ${limits.noteBytesMax} bytes`);
  return {
    argv: [...argv],
    tty,
    env: envOf(flags.env, context),
    client_label: clientLabel(context),
    ...(tty ? terminalSize(context) : {}),
    ...(flags.workdir === undefined ? {} : { cwd: flags.workdir }),
    ...(flags.user === undefined ? {} : { user: flags.user }),
    ...(note === undefined ? {} : { context: note }),
    ...(timeoutMs === undefined ? {} : { timeout_ms: timeoutMs }),
  };
}

/** With what the configuration and this computer say of where it runs; what the user said goes before. */
export function inPlace(
  fields: ReturnType<typeof startFields>,
  { env, terminfo }: Pick<VaultConfig, "env" | "terminfo">,
  context: Context,
): ReturnType<typeof startFields> {
  return {
    ...fields,
    ...surroundings(context, fields.tty, terminfo),
    env: { ...env, ...fields.env },
  };
}

/** Throws `UsageError` for no duration, and for none at all. */
export function durationOf(flag: string, said: string | undefined): number | undefined {
  if (said === undefined) return undefined;
  const ms = parseDuration(said);
  if (ms === undefined || ms === 0)
    throw new UsageError(`${flag} must be a duration such as 30s or 5m, not "${said}"`);
  return ms;
}

/** An id or name that a user chose. Throws `UsageError`. */
export function checkedName(flag: string, said: string | undefined): string | undefined {
  if (said === undefined || /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(said)) return said;
  throw new UsageError(`${flag} must be 1 to 64 letters, digits, ".", "_" or "-"`);
}

/** What the runtime puts in the place of bytes it cannot read, before we see a word. */
const replacement = "\u{FFFD}";

/** Whether our own words are UTF-8; taken for so where the system does not tell. */
function areWordsWhole(): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(readFileSync("/proc/self/cmdline"));
    return true;
  } catch (error) {
    return !(error instanceof TypeError);
  }
}

function envOf(words: readonly string[], context: Context): Record<string, string> {
  const env: Record<string, string> = {};
  for (const word of words) {
    if (!/^[^=]/.test(word)) throw new UsageError(`--env ${word} is not KEY=VALUE`);
    const equals = word.indexOf("=");
    const key = equals === -1 ? word : word.slice(0, equals);
    const value = equals === -1 ? context.env[key] : word.slice(equals + 1);
    if (value !== undefined) env[key] = value;
  }
  return env;
}
