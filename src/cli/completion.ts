import type { Command, Flag, Flags, Program } from "./command.ts";
import { globalFlags } from "./command.ts";

/** What may stand where the cursor is. */
export interface Candidate {
  readonly word: string;
  readonly summary?: string;
}

export interface Completion {
  readonly candidates: readonly Candidate[];
  /** The shell may offer its own files, too. */
  readonly files: boolean;
}

/**
 * Names that only this moment knows, by the name of the argument in help ("VAULT", "SESSION", …).
 * `vault` is the one that was typed before it. They must not ask the network.
 */
export type LiveNames = Readonly<
  Record<
    string,
    (vault: string | undefined) => readonly Candidate[] | Promise<readonly Candidate[]>
  >
>;

/** `words` are those after the program's name; the last is the one under the cursor, as far as it is typed. */
export async function complete(
  program: Program,
  words: readonly string[],
  live: LiveNames,
): Promise<Completion> {
  const typed = words.at(-1) ?? "";
  const told = words.slice(0, -1);
  // Switches may stand before the command.
  const from = told.findIndex((word) => !word.startsWith("-"));
  const before = from === -1 ? [] : told.slice(from);
  const found = await offer(program, before, typed, live);
  const candidates = found.candidates.filter(({ word }) => word.startsWith(typed));
  return { candidates, files: found.files };
}

async function offer(
  program: Program,
  before: readonly string[],
  typed: string,
  live: LiveNames,
): Promise<Completion> {
  const command = commandOf(program, before);
  if (command === undefined) return commandWords(program, before, await documents(program, before));
  const rest = before.slice(command.name.split(" ").length);
  const place = placeOf(command, rest);
  switch (place.kind) {
    case "value":
      return valuesOf(place.flag, live);
    case "theirs":
      return { candidates: [], files: true };
    case "first of theirs":
      if (typed.startsWith("-")) return { candidates: flagWords(command), files: false };
      return { candidates: [], files: true };
    case "word": {
      if (typed.startsWith("-")) return { candidates: flagWords(command), files: false };
      return positionalNames(command, place, live, typed);
    }
  }
}

/** One that may be left out gives its place to the next. */
async function positionalNames(
  command: Command,
  { index, first }: Extract<Place, { kind: "word" }>,
  live: LiveNames,
  typed: string,
): Promise<Completion> {
  const declared = Object.values(command.positionals ?? {});
  const [positional, next] = [declared.at(index), declared.at(index + 1)];
  if (positional === undefined) return none;
  const own = await named(positional.name, live, first);
  // What has a colon is elsewhere.
  const files = own.files && !typed.includes(":");
  if (positional.optional !== true || next === undefined) return { ...own, files };
  const others = await named(next.name, live, undefined);
  return { candidates: [...own.candidates, ...others.candidates], files: files || others.files };
}

async function documents(program: Program, before: readonly string[]): Promise<readonly string[]> {
  if (before.join(" ") !== "help json") return [];
  return Object.keys((await program.jsonOutputs?.()) ?? {});
}

function commandOf(program: Program, before: readonly string[]): Command | undefined {
  const [first = "", second = ""] = before;
  const find = (name: string): Command | undefined =>
    program.commands.find((command) => command.name === name && name !== "");
  return find(`${first} ${second}`) ?? find(first);
}

/** Commands, verbs of a group, topics behind `help`, or `outputs` behind `help json`. */
function commandWords(
  program: Program,
  before: readonly string[],
  outputs: readonly string[],
): Completion {
  if (outputs.length > 0) return { candidates: outputs.map((word) => ({ word })), files: false };
  const [group] = before;
  const shown = program.commands.filter(({ hidden, name }) => hidden !== true && name !== "");
  if (group === undefined) return { candidates: firstWords(program, shown), files: false };
  if (group === "help" && before.length === 1) {
    const topics = ["flags", ...Object.keys(program.topics ?? {})].map((word) => ({ word }));
    return { candidates: [...firstWords(program, shown), ...topics], files: false };
  }
  if (before.length > 1) return none;
  const verbs = shown
    .filter(({ name }) => name.startsWith(`${group} `))
    .map(({ name, summary }) => ({ word: name.slice(group.length + 1), summary }));
  return { candidates: verbs, files: false };
}

function firstWords(program: Program, shown: readonly Command[]): Candidate[] {
  const found = new Map<string, Candidate>();
  for (const { name, summary } of shown) {
    const [word = "", verb] = name.split(" ");
    if (!found.has(word) || verb === undefined)
      found.set(word, verb === undefined ? { word, summary } : { word });
  }
  return [...found.values(), { word: "help", summary: `about ${program.name} and its commands` }];
}

type Place =
  | { readonly kind: "value"; readonly flag: Flag }
  /** `first`: the positional before it, the vault in nearly all commands. */
  | { readonly kind: "word"; readonly index: number; readonly first: string | undefined }
  /** Words of a command that runs elsewhere; before the first there is still room for flags of ours. */
  | { readonly kind: "first of theirs" | "theirs" };

function placeOf(command: Command, words: readonly string[]): Place {
  const flags: Flags = { ...command.flags, ...globalFlags };
  const wanted = Object.keys(command.positionals ?? {}).length;
  const positionals: string[] = [];
  const areTheirs = (): boolean =>
    command.passthrough !== undefined && positionals.length === wanted;
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? "";
    const isPlain = word === "-" || !word.startsWith("-");
    if (word === "--" || (isPlain && areTheirs())) return { kind: "theirs" };
    const flag = isPlain ? undefined : valueFlag(flags, word);
    if (isPlain) positionals.push(word);
    if (flag === undefined) continue;
    at += 1;
    if (at >= words.length) return { kind: "value", flag };
  }
  return areTheirs() ? { kind: "first of theirs" } : wordPlace(command, positionals);
}

function wordPlace(command: Command, positionals: readonly string[]): Place {
  const declared = Object.values(command.positionals ?? {});
  const isLastRepeated = declared.at(-1)?.repeatable === true;
  const index = isLastRepeated
    ? Math.min(positionals.length, declared.length - 1)
    : positionals.length;
  return { kind: "word", index, first: positionals[0] };
}

/** The flag whose value the next word is. */
function valueFlag(flags: Flags, word: string): Flag | undefined {
  if (word.includes("=")) return undefined;
  const found = word.startsWith("--")
    ? Object.entries(flags).find(([name]) => name === word.slice(2))
    : Object.entries(flags).find(([, flag]) => flag.short === word.at(-1));
  return found?.[1].value === undefined ? undefined : found[1];
}

async function valuesOf(flag: Flag, live: LiveNames): Promise<Completion> {
  if (flag.choices !== undefined)
    return { candidates: flag.choices.map((word) => ({ word })), files: false };
  return named(flag.value ?? "", live, undefined);
}

async function named(
  name: string,
  live: LiveNames,
  vault: string | undefined,
): Promise<Completion> {
  const names = Object.hasOwn(live, name) ? live[name] : undefined;
  const candidates = names === undefined ? [] : await names(vault);
  return { candidates, files: /FILE|DIR|PATH|SRC|DST/.test(name) };
}

function flagWords(command: Command): Candidate[] {
  const shown = Object.entries({ ...command.flags, ...globalFlags } as Flags).filter(
    ([, flag]) => flag.hidden !== true,
  );
  const negatable = shown.filter(([, flag]) => flag.negatable === true);
  return [
    ...shown.map(([name, { summary }]) => ({ word: `--${name}`, summary })),
    ...negatable.map(([name, { summary }]) => ({ word: `--no-${name}`, summary })),
  ];
}

const none: Completion = { candidates: [], files: false };
