import type { Context } from "../../cli/context.ts";

/** Whether there is a person to ask: at a terminal, and not told to leave them alone. */
export function canAsk({ env, stdin, stderr }: Context): boolean {
  const told = [env["CI"], env["FLY_VAULT_NO_INPUT"]].some((value) => (value ?? "") !== "");
  return stdin.isTty && stderr.isTty && !told;
}

/** Has a word typed; anything else, an end of input or Ctrl-C too, is a no. */
export async function hasTyped(context: Context, question: string, word: string): Promise<boolean> {
  await context.stderr.write(question);
  const stopped = Promise.withResolvers<undefined>();
  const unsubscribe = context.onStop(() => stopped.resolve(undefined));
  const lines = readLine(context);
  try {
    return (await Promise.race([lines, stopped.promise])) === word;
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
