import type { Context } from "../../../cli/context.ts";
import { limits } from "../../../protocol/limits.ts";
import type { SessionOpenRequest } from "../../../protocol/session-message.ts";
import { clientLimits } from "../limits.ts";
import { findTerminfo } from "./terminfo.ts";

/** `terminfo` of a vault: what to do where the machine does not know our kind of terminal. */
export const terminfoWishes = ["push", "fallback", "off"] as const;
export type TerminfoWish = (typeof terminfoWishes)[number];

/** What a program there should know of where its user sits: the language, and with a terminal its kind. */
export function surroundings(
  { env }: Pick<Context, "env">,
  tty: boolean,
  wish: TerminfoWish = "push",
): Pick<SessionOpenRequest, "ambient" | "terminfo"> {
  const ambient: Record<string, string> = {};
  // Those that matter before any number of others.
  const names = [...(tty ? ["TERM", "COLORTERM"] : []), "LANG", "LC_ALL", "LC_CTYPE"];
  names.push(...Object.keys(env).filter((name) => name.startsWith("LC_") && !names.includes(name)));
  for (const name of names) {
    const value = env[name];
    if (value === undefined || value === "" || value.length > clientLimits.ambientCharsMax)
      continue;
    if (Object.keys(ambient).length < limits.ambientItemsMax) ambient[name] = value;
  }
  const term = ambient["TERM"];
  if (term === undefined || wish === "off") return { ambient };
  const data = wish === "push" && !everywhere.has(term) ? findTerminfo(term, env) : undefined;
  return {
    ambient,
    terminfo: data === undefined ? {} : { data: Buffer.from(data).toString("base64") },
  };
}

/** What the smallest of terminal databases has: the description would travel for nothing. */
const everywhere: ReadonlySet<string> = new Set([
  "ansi",
  "dumb",
  "linux",
  "screen",
  "screen-256color",
  "tmux",
  "tmux-256color",
  "vt100",
  "vt220",
  "xterm",
  "xterm-256color",
]);
