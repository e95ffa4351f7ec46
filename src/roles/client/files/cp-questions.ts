import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { printable } from "../../../cli/printable.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { nobody } from "../../../system/copy/copy-peer.ts";
import type { CopyEvents } from "./cp-run.ts";
import { clientLimits } from "../limits.ts";

/** `-i` is for a person at a terminal. */
export function mustBeAbleToAsk({ env, stdin, stderr }: Context): void {
  const told = [env["CI"], env["FLY_VAULT_NO_INPUT"]].some((value) => (value ?? "") !== "");
  if (!stdin.isTty || !stderr.isTty || told)
    throw new UsageError("-i needs a terminal to ask at (-n keeps what is there)");
}

/** Of a look beforehand, what is there already. What is wrong the copy itself meets again. */
export function thereAlready(): CopyEvents & { readonly paths: readonly string[] } {
  const paths: string[] = [];
  return {
    ...nobody,
    paths,
    settled: (path, _size, outcome) => {
      if (outcome !== "kept") return;
      paths.push(path);
      if (paths.length > clientLimits.copyQuestionsMax) throw tooMany();
    },
    again: () => {
      paths.length = 0;
    },
    stopped: () => Promise.resolve(),
  };
}

function tooMany(): Failure {
  return new Failure(
    "FV-CP-009",
    `more than ${clientLimits.copyQuestionsMax} files are there already`,
    { fix: "-n keeps them all, without -i and -n all are replaced" },
  );
}

/** Those that are to stay: all but the ones somebody said yes to. */
export async function askForEach(
  context: Context,
  paths: readonly string[],
): Promise<ReadonlySet<string>> {
  const declined = new Set<string>();
  const lines = readLines(context);
  for (const path of paths) {
    await context.stderr.write(`replace ${printable(path)}? [y/N] `);
    const { value = "" } = await lines.next();
    if (!/^y(es)?$/i.test(value.trim())) declined.add(path);
  }
  return declined;
}

async function* readLines(context: Context): AsyncGenerator<string, undefined, undefined> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of context.stdin.read()) {
    const lines = (text + decoder.decode(bytes, { stream: true })).split("\n");
    text = (lines.pop() ?? "").slice(0, clientLimits.answerCharsMax);
    yield* lines;
  }
  if (text !== "") yield text;
  return undefined;
}
