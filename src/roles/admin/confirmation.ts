import type { Context } from "../../cli/context.ts";
import { Prompt, PromptAborted } from "../../cli/prompt.ts";
import { Interrupted } from "./connection.ts";

/** Has a word typed; anything else, an end of input too, is a no. Ctrl-C rejects with `Interrupted`. */
export async function hasTyped(context: Context, question: string, word: string): Promise<boolean> {
  const stopped = Promise.withResolvers<never>();
  const unsubscribe = context.onStop((signal) => stopped.reject(new Interrupted(signal)));
  try {
    return (await Promise.race([new Prompt(context).line(question), stopped.promise])) === word;
  } catch (error) {
    if (error instanceof PromptAborted) return false;
    await context.stderr.write("\n");
    throw error;
  } finally {
    unsubscribe();
  }
}
