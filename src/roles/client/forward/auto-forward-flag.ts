import type { Flags } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { autoForwardWishes } from "./auto-forward-rules.ts";
import type { AutoForwardAudience } from "./auto-forwards.ts";

/** Of the commands that may forward what begins to listen in the vault. */
export const autoForwardFlag = {
  "auto-forward": {
    value: "WHEN",
    choices: autoForwardWishes,
    summary: "what begins to listen in the vault: on (forward it), notify (tell of it) or off",
  },
} as const satisfies Flags;

/** Where no console shows what they do: lines on stderr. */
export function plainAudience(
  { stderr }: Pick<Context, "stderr">,
  session?: string,
): AutoForwardAudience {
  const tell = (line: string): void => void stderr.write(`${line}\n`).catch(() => undefined);
  return { session, escape: undefined, tell };
}
