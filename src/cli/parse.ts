import { colourWishes } from "./colour-wish.ts";
import type { Command, Flag, Flags, GlobalOptions, ParsedOptions } from "./command.ts";
import { globalFlags } from "./command.ts";
import { checkChoice, singlePrefix, splitWords } from "./split-words.ts";
import { UsageError } from "./usage-error.ts";

export interface Invocation {
  readonly options: ParsedOptions;
  readonly help: boolean;
  readonly version: boolean;
}

type Env = Readonly<Record<string, string | undefined>>;

/**
 * Words -> options, over a strict layer in front of citty, which by itself keeps only the last of a
 * repeated flag, takes unknown flags, reads flags among the words of the command that is to be run
 * elsewhere, and answers a `--help` behind `--`.
 */
export async function parseWords(
  command: Command,
  words: readonly string[],
  env: Env,
): Promise<Invocation> {
  const flags: Flags = { ...command.flags, ...globalFlags };
  const split = splitWords(command, flags, words);
  const single = await parseSingles(flags, split.singles);
  const help = single[`${singlePrefix}help`] === true;
  const version = single[`${singlePrefix}version`] === true;
  const values = Object.fromEntries(
    Object.entries(command.flags ?? {}).map(([name, flag]) => {
      const said =
        flag.repeatable === true ? split.repeated.get(name) : single[`${singlePrefix}${name}`];
      return [name, said ?? absentValue(flag, env)];
    }),
  );
  const global: GlobalOptions = {
    quiet: single[`${singlePrefix}quiet`] === true,
    verbose: split.repeated.get("verbose")?.length ?? 0,
    debug: single[`${singlePrefix}debug`] === true,
    logFile: logFileOf(single, env),
    noInput: single[`${singlePrefix}no-input`] === true,
    colour: colourWishes.find((wish) => wish === single[`${singlePrefix}color`]),
  };
  // Help is answered even where the rest is incomplete.
  const asked = help || version;
  const positionals = asked ? {} : assignPositionals(command, split.positionals);
  if (!asked) checkRest(command, split.rest);
  return { options: { flags: values, positionals, rest: split.rest, global }, help, version };
}

function logFileOf(single: Readonly<Record<string, unknown>>, env: Env): string | undefined {
  const said = single[`${singlePrefix}log-file`];
  const path = typeof said === "string" ? said : env[globalFlags["log-file"].env];
  return path === "" ? undefined : path;
}

async function parseSingles(
  flags: Flags,
  singles: string[],
): Promise<Readonly<Record<string, unknown>>> {
  // citty brings `node:util` along, more than a millisecond; many commands are called without a flag.
  if (singles.length === 0) return {};
  const { parseArgs } = await import("citty");
  const definition = Object.fromEntries(
    Object.entries(flags)
      .filter(([, flag]) => flag.repeatable !== true)
      .map(([name, flag]) => [
        `${singlePrefix}${name}`,
        { type: flag.value === undefined ? ("boolean" as const) : ("string" as const) },
      ]),
  );
  return parseArgs(singles, definition);
}

/** From the environment, else what the flag's type says for "not given". */
function absentValue(flag: Flag, env: Env): string | readonly string[] | boolean | undefined {
  const found = flag.env === undefined ? undefined : env[flag.env];
  // An empty variable is as good as none: CI systems set them so.
  const value = found === "" ? undefined : found;
  if (flag.repeatable === true) return value === undefined ? [] : [value];
  if (flag.value !== undefined)
    return value === undefined ? undefined : checkChoice(flag.env ?? "", flag, value);
  if (value === "1" || value === "true") return true;
  if (flag.negatable !== true) return false;
  if (value === undefined) return undefined;
  if (value === "0" || value === "false") return false;
  throw new UsageError(`${flag.env} must be 1 or 0, not "${value}"`);
}

/** One that may be left out gets a word only where those that may not have theirs: `[VAULT] SESSION`. */
function assignPositionals(
  command: Command,
  words: readonly string[],
): Record<string, string | readonly string[] | undefined> {
  const values: Record<string, string | readonly string[] | undefined> = {};
  const positionals = Object.entries(command.positionals ?? {});
  const needed = positionals.filter(([, { optional }]) => optional !== true).length;
  let spare = words.length - needed;
  let next = 0;
  for (const [key, positional] of positionals) {
    if (positional.optional === true && spare <= 0) {
      values[key] = positional.repeatable === true ? [] : undefined;
      continue;
    }
    if (positional.optional === true) spare -= 1;
    const word = words[next];
    if (word === undefined && positional.optional !== true)
      throw new UsageError(`${positional.name} is missing`);
    values[key] = positional.repeatable === true ? words.slice(next) : word;
    next = positional.repeatable === true ? words.length : next + 1;
  }
  const extra = words[next];
  if (extra !== undefined) throw new UsageError(`one word too many: "${extra}"`);
  return values;
}

function checkRest(command: Command, rest: readonly string[]): void {
  if (command.passthrough === undefined || command.passthrough.optional === true) return;
  if (rest.length === 0) throw new UsageError(`${command.passthrough.name} is missing`);
}
