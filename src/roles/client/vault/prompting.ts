import type { Context } from "../../../cli/context.ts";
import { canAsk } from "../../../cli/can-ask.ts";
import { Prompt, PromptAborted } from "../../../cli/prompt.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { signalNumbers } from "../session/exit-status.ts";
import { stopBefore } from "../link/stop-before.ts";

/** Runs what may ask a person: Ctrl-C ends it with 130, whichever way the terminal tells of it. */
export async function untilAborted(context: Context, work: () => Promise<number>): Promise<number> {
  try {
    return await stopBefore(context, work);
  } catch (error) {
    if (error instanceof PromptAborted) return 128 + signalNumbers.SIGINT;
    throw error;
  }
}

export const confirmFlags = {
  yes: { short: "y", summary: "do it without asking" },
} as const;

/** Asks unless `--yes` was said; without a terminal to ask on that flag is needed. */
export async function confirmed(
  question: string,
  said: {
    readonly flags: { readonly yes: boolean };
    /** "take x out": after "refusing to". */
    readonly what: string;
  },
  context: Context,
): Promise<boolean> {
  if (said.flags.yes) return true;
  if (!canAsk(context))
    throw new UsageError(`refusing to ${said.what} without --yes (no terminal to ask on)`);
  return new Prompt(context).confirm(question);
}
