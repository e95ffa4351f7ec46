import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { printable } from "../../cli/printable.ts";
import { UsageError } from "../../cli/usage-error.ts";
import { nobody } from "../../system/copy/copy-peer.ts";
import type { CopyEvents } from "./cp-run.ts";
import { clientLimits } from "./limits.ts";

/** `-i` is for a person at a terminal. */
export function mustBeAbleToAsk({ env, stdin, stderr }: Context): void {
  const told = [env["CI"], env["FLY_VAULT_NO_INPUT"]].some((value) => (value ?? "") !== "");
  if (!stdin.isTty || !stderr.isTty || told)
    throw new UsageError("-i needs a terminal to ask at (-n keeps what is there)");
}

/** Of a look beforehand: what is there already. */
export class ThereAlready implements CopyEvents {
  readonly paths: string[] = [];
  readonly total = nobody.total;
  readonly began = nobody.began;
  readonly advanced = nobody.advanced;
  /** The copy itself meets it again. */
  readonly failed = nobody.failed;

  settled(path: string, _size: number, outcome: string): void {
    if (outcome !== "kept") return;
    this.paths.push(path);
    if (this.paths.length > clientLimits.copyQuestionsMax)
      throw new Failure(
        "FV-CP-009",
        `more than ${clientLimits.copyQuestionsMax} files are there already`,
        {
          fix: "-n keeps them all, without -i and -n all are replaced",
        },
      );
  }

  again(): void {
    this.paths.length = 0;
  }

  async stopped(): Promise<void> {
    // Nothing was done.
  }
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

async function* readLines(context: Context): AsyncGenerator<string, string, undefined> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of context.stdin.read()) {
    const lines = (text + decoder.decode(bytes, { stream: true })).split("\n");
    text = (lines.pop() ?? "").slice(0, clientLimits.answerCharsMax);
    yield* lines;
  }
  return text;
}
