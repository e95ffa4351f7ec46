import packageJson from "../../package.json" with { type: "json" };
import type { Command, Program } from "./command.ts";
import { globalFlags } from "./command.ts";
import { BrokenPipe, type Context } from "./context.ts";
import { Failure, renderFailure, renderFailureJson } from "./failure.ts";
import { renderCommandHelp, renderGlobalFlags, renderProgramHelp, usageLine } from "./help.ts";
import { didYouMean } from "./nearest.ts";
import { type Invocation, parseWords } from "./parse.ts";
import { printable } from "./printable.ts";
import { type NoteFields, openRunLog } from "./run-log.ts";
import { systemFailure } from "./system-failure.ts";
import { UsageError } from "./usage-error.ts";

export const version: string = packageJson.version;

/** Exit code of a program whose reader went away, as the shell reports SIGPIPE. */
const brokenPipeExitCode = 141;

/** Finds the command, parses, runs, and turns whatever went wrong into words on stderr and an exit code. */
export async function runProgram(
  program: Program,
  argv: readonly string[],
  context: Context,
): Promise<number> {
  let command: Command | undefined;
  let invocation: Invocation | undefined;
  try {
    const chosen = choose(program, argv);
    if (chosen.kind === "text") {
      await context.stdout.write(chosen.render(context.stdout.columns));
      return 0;
    }
    command = chosen.command;
    invocation = parseWords(command, chosen.words, context.env);
    if (invocation.help) {
      await context.stdout.write(renderCommandHelp(program, command, context.stdout.columns));
      return 0;
    }
    if (invocation.version) {
      await context.stdout.write(versionLine(program));
      return 0;
    }
    return await runLogged(program, { command, invocation }, context);
  } catch (error) {
    return report(error, { program, command, invocation }, context);
  }
}

/** With the log that `--log-file` asks for: when it began, and how it ended. */
async function runLogged(
  program: Program,
  { command, invocation }: { readonly command: Command; readonly invocation: Invocation },
  context: Context,
): Promise<number> {
  const { logFile } = invocation.options.global;
  if (logFile === undefined) return command.run(invocation.options, context);
  const log = openRunLog(logFile, context);
  const startedMs = context.monotonicMs();
  const end = (fields: NoteFields): void =>
    log.note("end", { ...fields, ms: Math.round(context.monotonicMs() - startedMs) });
  log.note("start", { program: program.name, command: command.name, version });
  try {
    const exitCode = await command.run(invocation.options, { ...context, log });
    end({ exit_code: exitCode });
    return exitCode;
  } catch (error) {
    end(failureFields(error));
    throw error;
  } finally {
    log.close();
  }
}

function failureFields(error: unknown): NoteFields {
  if (error instanceof Failure) {
    const { exitCode: exit_code, code, message, because } = error;
    return { exit_code, code, message, because };
  }
  return { message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
}

type Choice =
  | { readonly kind: "text"; readonly render: (columns: number) => string }
  | { readonly kind: "command"; readonly command: Command; readonly words: readonly string[] };

/** Global switches may stand before the command's name; they are parsed together with its own. */
function choose(program: Program, argv: readonly string[]): Choice {
  const before = leadingSwitches(argv);
  const words = argv.slice(before.length);
  const [first, second] = words;
  const root = program.commands.find((command) => command.name === "");
  const two = program.commands.find((command) => command.name === `${first} ${second}`);
  if (two !== undefined) return asCommand(two, [...before, ...words.slice(2)]);
  const one = program.commands.find((command) => command.name === first && first !== "");
  if (one !== undefined) return asCommand(one, [...before, ...words.slice(1)]);
  if (first === "help" || before.some((word) => word === "--help" || word === "-h"))
    return helpChoice(program, first === "help" ? words.slice(1) : words);
  if (before.includes("--version")) return { kind: "text", render: () => versionLine(program) };
  if (root !== undefined) return asCommand(root, argv);
  const group = groupNames(program).find((name) => name === first);
  if (group !== undefined) return groupChoice(program, group, second);
  if (first === undefined) throw new UsageError(`a command is missing (${program.name} --help)`);
  throw unknownWord(program, "command", first, commandWords(program));
}

function asCommand(command: Command, words: readonly string[]): Choice {
  return { kind: "command", command, words };
}

function leadingSwitches(argv: readonly string[]): readonly string[] {
  const switches = Object.entries(globalFlags).filter(([, flag]) => !("value" in flag));
  const known = new Set(
    switches.flatMap(([name, flag]) =>
      "short" in flag ? [`--${name}`, `-${flag.short}`] : [`--${name}`],
    ),
  );
  const end = argv.findIndex((word) => !known.has(word));
  return end === -1 ? argv : argv.slice(0, end);
}

/** `help`, `help COMMAND`, `help TOPIC`. */
function helpChoice(program: Program, words: readonly string[]): Choice {
  const name = words.join(" ");
  const command = program.commands.find((candidate) => candidate.name === name);
  if (command !== undefined)
    return { kind: "text", render: (columns) => renderCommandHelp(program, command, columns) };
  if (name === "")
    return { kind: "text", render: (columns) => renderProgramHelp(program, columns) };
  if (groupNames(program).includes(name))
    return { kind: "text", render: (columns) => renderProgramHelp(program, columns, name) };
  if (name === "flags") return { kind: "text", render: renderGlobalFlags };
  const topics = program.topics ?? {};
  const topic = Object.hasOwn(topics, name) ? topics[name] : undefined;
  if (topic !== undefined) return { kind: "text", render: () => `${topic.trimEnd()}\n` };
  throw unknownWord(program, "help topic", name, [
    ...commandWords(program),
    ...Object.keys(topics),
  ]);
}

function groupChoice(program: Program, group: string, second: string | undefined): Choice {
  if (second === "--help" || second === "-h")
    return { kind: "text", render: (columns) => renderProgramHelp(program, columns, group) };
  const verbs = program.commands
    .filter((command) => command.name.startsWith(`${group} `) && command.hidden !== true)
    .map((command) => command.name.slice(group.length + 1));
  if (second === undefined) throw new UsageError(`"${group}" needs one of ${verbs.join(", ")}`);
  throw unknownWord(program, `command "${group}"`, second, verbs);
}

function groupNames(program: Program): string[] {
  const groups = program.commands
    .filter((command) => command.name.includes(" "))
    .map((command) => command.name.split(" ")[0] ?? "");
  return [...new Set(groups)];
}

function commandWords(program: Program): string[] {
  const names = program.commands
    .filter((command) => command.hidden !== true && command.name !== "")
    .map((command) => command.name.split(" ")[0] ?? "");
  return [...new Set(names)];
}

function unknownWord(
  program: Program,
  what: string,
  word: string,
  known: readonly string[],
): UsageError {
  const hint = didYouMean(word, known);
  return new UsageError(
    `unknown ${what} "${word}"${hint === "" ? ` (${program.name} help)` : hint}`,
  );
}

function versionLine(program: Program): string {
  return `${program.name} ${version}\n`;
}

interface Reported {
  readonly program: Program;
  readonly command: Command | undefined;
  readonly invocation: Invocation | undefined;
}

async function report(error: unknown, reported: Reported, context: Context): Promise<number> {
  if (error instanceof BrokenPipe) return brokenPipeExitCode;
  const failure = asFailure(error, context);
  const { text, exitCode } =
    failure instanceof Failure
      ? {
          text: wantsJson(reported) ? renderFailureJson(failure) : renderFailure(failure),
          exitCode: failure.exitCode,
        }
      : { text: usageText(failure, reported), exitCode: 2 };
  try {
    await context.stderr.write(text);
    if (reported.invocation?.options.global.debug === true && error instanceof Error)
      await context.stderr.write(`${error.stack ?? ""}\n`);
  } catch {
    // Nobody reads stderr any more; the exit code still says it.
  }
  return exitCode;
}

function asFailure(error: unknown, context: Context): Failure | UsageError {
  if (error instanceof Failure || error instanceof UsageError) return error;
  const refused = systemFailure(error);
  if (refused !== undefined) return refused;
  const words = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new Failure("FV-INT-001", `bug: ${words}`, {
    fix: `please report this with the output of the same command and --debug${
      context.env["FLY_VAULT_LOG_FILE"] === undefined ? "" : ", and the log file"
    }`,
  });
}

function usageText(error: UsageError, { program, command }: Reported): string {
  const usage =
    command === undefined
      ? `${program.name} COMMAND [flags]      (${program.name} --help)`
      : `${usageLine(program, command)}      (${[program.name, command.name, "--help"]
          .filter((word) => word !== "")
          .join(" ")})`;
  return `error: ${printable(error.message)}\nusage: ${usage}\n`;
}

function wantsJson({ invocation }: Reported): boolean {
  return invocation?.options.flags["json"] === true;
}
