import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";

/**
 * Asks for a word to be typed, which nobody does by mistake. Rejects with `Failure` where it is not
 * typed, or where nobody can be asked.
 */
export async function confirmByTyping(
  context: Context,
  options: { readonly word: string; readonly consequence: string },
): Promise<void> {
  const { word, consequence } = options;
  const { env, stdin, stderr } = context;
  const canAsk =
    stdin.isTty && stderr.isTty && !isSet(env["CI"]) && !isSet(env["FLY_VAULT_NO_INPUT"]);
  if (!canAsk)
    throw new Failure("FV-ADM-005", `refusing to ${consequence} without --yes`, {
      because: "there is no terminal to ask on",
    });
  await stderr.write(`type "${word}" to ${consequence}: `);
  const answer = await readLine(context);
  if (answer === word) return;
  throw new Failure("FV-ADM-005", `"${word}" was not typed, so nothing was done`);
}

async function readLine({ stdin }: Context): Promise<string> {
  let text = "";
  for await (const chunk of stdin.read()) {
    text += new TextDecoder().decode(chunk);
    if (text.includes("\n") || text.length > answerCharactersMax) break;
  }
  return text.split("\n", 1)[0]?.trim() ?? "";
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== "";
}

const answerCharactersMax = 256;
