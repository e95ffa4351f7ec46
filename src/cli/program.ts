import packageJson from "../../package.json" with { type: "json" };
import type { Command, Flag, Program } from "./command.ts";
import { globalFlags } from "./command.ts";
import type { Context } from "./context.ts";
import { Failure } from "./failure.ts";
import { didYouMean } from "./nearest.ts";
import { type Invocation, parseWords } from "./parse.ts";
import type { NoteFields } from "./run-log.ts";
import { MissingCommand, UsageError } from "./usage-error.ts";

export const version: string = packageJson.version;

/** Finds the command, parses, runs, and turns whatever went wrong into words on stderr and an exit code. */
export async function runProgram(
  program: Program,
  argv: readonly string[],
  given: Context,
): Promise<number> {
  let context = given;
  let command: Command | undefined;
  let invocation: Invocation | undefined;
  try {
    const chosen = choose(program, argv);
    if (chosen.kind === "text") {
      await context.stdout.write(await chosen.render(context.stdout.columns));
      return 0;
    }
    command = chosen.command;
    invocation = await parseWords(command, chosen.words, context.env);
    context = asTold(context, invocation);
    if (invocation.help) {
      const { renderCommandHelp } = await help();
      await context.stdout.write(renderCommandHelp(program, command, context.stdout.columns));
      return 0;
    }
    if (invocation.version) {
      await context.stdout.write(versionLine(program));
      return 0;
    }
    return await runLogged(program, { command, invocation }, context);
  } catch (error) {
    const { report } = await import("./report.ts");
    return report(error, { program, command, invocation, argv }, context);
  }
}

/** Most commands get the context as it is: a copy would look everything up that is lazy in it. */
function asTold(context: Context, { options }: Invocation): Context {
  const { noInput, colour } = options.global;
  const isUnattended = noInput === true || options.flags["json"] === true;
  if (!isUnattended && colour === undefined) return context;
  return { ...context, noInput: isUnattended, ...(colour === undefined ? {} : { colour }) };
}

/** With the log that `--log-file` asks for: when it began, and how it ended. */
async function runLogged(
  program: Program,
  { command, invocation }: { readonly command: Command; readonly invocation: Invocation },
  context: Context,
): Promise<number> {
  const { logFile } = invocation.options.global;
  if (logFile === undefined) return command.run(invocation.options, context);
  const { openRunLog } = await import("./run-log.ts");
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
  | { readonly kind: "text"; readonly render: (columns: number) => string | Promise<string> }
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
  if (first === undefined) throw new MissingCommand("a command is missing");
  throw unknownWord(program, "command", first, commandWords(program));
}

function asCommand(command: Command, words: readonly string[]): Choice {
  return { kind: "command", command, words };
}

/** Those before the command, with the values of those that have one. */
export function leadingSwitches(argv: readonly string[]): readonly string[] {
  const flags = Object.entries<Flag>(globalFlags);
  let end = 0;
  for (;;) {
    const word = argv[end] ?? "";
    const said = flags.find(([name, { short }]) => word === `--${name}` || word === `-${short}`);
    const isJoined = flags.some(([name, { value }]) => value && word.startsWith(`--${name}=`));
    if (said !== undefined) end += said[1].value === undefined ? 1 : 2;
    else if (isJoined) end += 1;
    else return argv.slice(0, end);
  }
}

/** `help`, `help COMMAND`, `help TOPIC`. */
function helpChoice(program: Program, words: readonly string[]): Choice {
  const name = words.join(" ");
  const command = program.commands.find((candidate) => candidate.name === name);
  if (command !== undefined)
    return helpText((texts, columns) => texts.renderCommandHelp(program, command, columns));
  if (name === "") return helpText((texts, columns) => texts.renderProgramHelp(program, columns));
  if (groupNames(program).includes(name))
    return helpText((texts, columns) => texts.renderProgramHelp(program, columns, name));
  if (name === "flags") return helpText((texts, columns) => texts.renderGlobalFlags(columns));
  if (words[0] === "json" && program.jsonOutputs !== undefined && words.length <= 2)
    return { kind: "text", render: async () => jsonHelp(program, words[1]) };
  const topics = program.topics ?? {};
  const topic = Object.hasOwn(topics, name) ? topics[name] : undefined;
  if (topic !== undefined) return { kind: "text", render: () => `${topic.trimEnd()}\n` };
  throw unknownWord(program, "help topic", name, [
    ...commandWords(program),
    ...Object.keys(topics),
  ]);
}

type HelpTexts = typeof import("./help.ts");

/** Loaded when somebody asks: no command that works needs its own help. */
async function help(): Promise<HelpTexts> {
  return import("./help.ts");
}

function helpText(render: (texts: HelpTexts, columns: number) => string): Choice {
  return { kind: "text", render: async (columns) => render(await help(), columns) };
}

async function jsonHelp(program: Program, name: string | undefined): Promise<string> {
  const outputs = (await program.jsonOutputs?.()) ?? {};
  const { renderOutputNames, renderSchema } = await import("./json-help.ts");
  if (name !== undefined) return renderSchema(outputs, name, program.name);
  const topic = program.topics?.["json"] ?? "JSON\n";
  return `${topic.trimEnd()}\n\n${renderOutputNames(outputs, program.name)}`;
}

function groupChoice(program: Program, group: string, second: string | undefined): Choice {
  if (second === "--help" || second === "-h")
    return helpText((texts, columns) => texts.renderProgramHelp(program, columns, group));
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
