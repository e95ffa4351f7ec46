import type { Context } from "../../cli/context.ts";
import { Interrupted } from "./connection.ts";

/** Has a word typed; anything else, an end of input too, is a no. Ctrl-C rejects with `Interrupted`. */
export async function hasTyped(context: Context, question: string, word: string): Promise<boolean> {
  await context.stderr.write(question);
  const stopped = Promise.withResolvers<never>();
  const unsubscribe = context.onStop((signal) => stopped.reject(new Interrupted(signal)));
  try {
    const line = await Promise.race([readLine(context), stopped.promise]);
    if (line === undefined) await context.stderr.write("\n");
    return line === word;
  } catch (error) {
    await context.stderr.write("\n");
    throw error;
  } finally {
    unsubscribe();
  }
}

async function readLine(context: Context): Promise<string | undefined> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of context.stdin.read()) {
    text += decoder.decode(chunk, { stream: true });
    const end = text.search(/[\r\n]/u);
    if (end !== -1) return text.slice(0, end).trim();
    if (text.length > lineCharactersMax) return undefined;
  }
  return undefined;
}

const lineCharactersMax = 1_024;
