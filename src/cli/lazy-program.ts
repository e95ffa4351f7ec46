import type { Command, Program } from "./command.ts";
import type { Context } from "./context.ts";
import { leadingSwitches, runProgram } from "./program.ts";

/** By the name that is typed. */
export type CommandLoaders = Readonly<Record<string, () => Promise<Command>>>;

/** A program of which only the command that runs is loaded: the start is part of every command's time. */
export interface LazyProgram {
  readonly name: string;
  readonly commands: CommandLoaders;
  /** With all commands: for help, and for words that name none of them. */
  readonly whole: () => Promise<Program>;
}

export async function runLazily(
  program: LazyProgram,
  argv: readonly string[],
  context: Context,
): Promise<number> {
  return runProgram(await programFor(program, argv), argv, context);
}

export async function loadAll(commands: CommandLoaders): Promise<readonly Command[]> {
  return Promise.all(Object.values(commands).map(async (load) => load()));
}

/** As much of it as `argv` needs. */
async function programFor(
  { name, commands, whole }: LazyProgram,
  argv: readonly string[],
): Promise<Program> {
  const before = leadingSwitches(argv);
  const [first = "", second = ""] = argv.slice(before.length);
  const called = [`${first} ${second}`, first].find((words) => Object.hasOwn(commands, words));
  const command = await commands[called ?? ""]?.();
  if (command !== undefined) return { name, summary: "", commands: [command] };
  const asksVersionAlone = first === "" && before.every((word) => word === "--version");
  return asksVersionAlone && before.length > 0 ? { name, summary: "", commands: [] } : whole();
}
