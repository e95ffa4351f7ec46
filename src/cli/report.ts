import { styled } from "./colour.ts";
import type { Command, Program } from "./command.ts";
import { BrokenPipe, brokenPipeExitCode, type Context } from "./context.ts";
import { type Checklist, Failure, renderFailure, renderFailureJson } from "./failure.ts";
import { renderShortHelp, usageLine } from "./help.ts";
import type { Invocation } from "./parse.ts";
import { printable } from "./printable.ts";
import { colouredMark } from "./symbols.ts";
import { MissingCommand, UsageError } from "./usage-error.ts";

export interface Reported {
  readonly program: Program;
  /** As far as it came. */
  readonly command: Command | undefined;
  readonly invocation: Invocation | undefined;
  readonly argv: readonly string[];
}

/** Says on stderr what went wrong, in words or as JSON, and gives the exit code. */
export async function report(
  error: unknown,
  reported: Reported,
  context: Context,
): Promise<number> {
  if (error instanceof BrokenPipe) return brokenPipeExitCode;
  const failure = asFailure(error, context);
  const isUsage = failure instanceof UsageError;
  const words = isUsage
    ? usageText(failure, reported, context.stderr.columns)
    : renderFailure(failure);
  const text = wantsJson(reported)
    ? renderFailureJson(isUsage ? usageFailure(failure, reported) : failure)
    : withChecklist(words.replace(/^error:/, styled("red", "error:", "stderr", context)), {
        checklist: isUsage ? undefined : failure.checklist,
        reported,
        context,
      });
  try {
    await context.stderr.write(text);
    if (reported.invocation?.options.global.debug === true && error instanceof Error)
      await context.stderr.write(`${error.stack ?? ""}\n`);
  } catch {
    // Nobody reads stderr any more; the exit code still says it.
  }
  return isUsage ? usageExitCode : failure.exitCode;
}

/** Around the words of the error, for those who watch: on a terminal, or with -v. */
function withChecklist(
  words: string,
  given: {
    readonly checklist: Checklist | undefined;
    readonly reported: Reported;
    readonly context: Context;
  },
): string {
  const { checklist, reported, context } = given;
  const { quiet = false, verbose = 0 } = reported.invocation?.options.global ?? {};
  if (checklist === undefined || quiet || !(context.stderr.isTty || verbose > 0)) return words;
  const lines = checklist.steps.map(({ passed, text }) => {
    const mark = colouredMark(passed ? "ok" : "failed", "stderr", context);
    return `${mark} ${printable(text)}\n`;
  });
  return `${lines.join("")}${words}  more:  ${printable(checklist.next)}\n`;
}

function asFailure(error: unknown, context: Context): Failure | UsageError {
  if (error instanceof Failure || error instanceof UsageError) return error;
  const words = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new Failure("FV-INT-001", `bug: ${words}`, {
    fix: `report it with what the same command says with --debug${
      context.env["FLY_VAULT_LOG_FILE"] === undefined ? "" : ", and the log file"
    }, and the output of  fly-vault bundle`,
  });
}

function usageText(error: UsageError, reported: Reported, columns: number): string {
  const lines = `error: ${error.message}\nusage: ${usageOf(reported)}\n`;
  const isBare = error instanceof MissingCommand;
  return isBare ? `${lines}${renderShortHelp(reported.program, columns)}` : lines;
}

function usageFailure(error: UsageError, reported: Reported): Failure {
  return new Failure("FV-CLI-001", error.message, { fix: usageOf(reported) });
}

function usageOf({ program, command }: Reported): string {
  if (command === undefined) return `${program.name} COMMAND [flags]      (${program.name} --help)`;
  const help = [program.name, command.name, "--help"].filter((word) => word !== "");
  return `${usageLine(program, command)}      (${help.join(" ")})`;
}

/** Where the words could not be understood, by what may be a word of ours among them. */
function wantsJson({ invocation, command, argv }: Reported): boolean {
  if (invocation !== undefined) return invocation.options.flags["json"] === true;
  return ownWords(argv, command).includes("--json");
}

/** Those before somebody else's command begins; a value that looks like a word ends them early. */
function ownWords(argv: readonly string[], command: Command | undefined): readonly string[] {
  const dashes = argv.indexOf("--");
  const words = dashes === -1 ? argv : argv.slice(0, dashes);
  if (command?.passthrough === undefined) return words;
  let plainLeft = command.name.split(" ").length + Object.keys(command.positionals ?? {}).length;
  const end = words.findIndex((word) => !word.startsWith("-") && plainLeft-- === 0);
  return end === -1 ? words : words.slice(0, end);
}

const usageExitCode = 2;
