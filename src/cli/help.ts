import type { Command, Flag, Flags, Program } from "./command.ts";
import { globalFlags } from "./command.ts";

const columnsMax = 100;
const indent = "  ";

/** `fly-vault exec VAULT [flags] [--] COMMAND [ARG…]` */
export function usageLine(program: Program, command: Command): string {
  const words = [program.name];
  if (command.name !== "") words.push(command.name);
  for (const positional of Object.values(command.positionals ?? {})) {
    const name = positional.repeatable === true ? `${positional.name}…` : positional.name;
    words.push(positional.optional === true ? `[${name}]` : name);
  }
  words.push("[flags]");
  const rest = command.passthrough;
  if (rest !== undefined)
    words.push(rest.optional === true ? `[[--] ${rest.name}]` : `[--] ${rest.name}`);
  return words.join(" ");
}

export function renderCommandHelp(program: Program, command: Command, columns: number): string {
  const width = widthFor(columns);
  const parts = [wrap(`${command.summary}.`, width, "")];
  parts.push(`USAGE\n${indent}${usageLine(program, command)}`);
  if (command.description !== undefined) parts.push(wrapParagraphs(command.description, width));
  const described = Object.values(command.positionals ?? {}).filter(
    (positional) => positional.summary !== undefined,
  );
  if (described.length > 0) {
    const rows = described.map(({ name, summary }) => [name, summary ?? ""] as const);
    parts.push(`ARGUMENTS\n${columnsOf(rows, width)}`);
  }
  const flags = flagRows(command.flags ?? {});
  if (flags.length > 0) parts.push(`FLAGS\n${columnsOf(flags, width)}`);
  parts.push(`GLOBAL FLAGS\n${indent}${program.name} help flags`);
  if (command.examples !== undefined)
    parts.push(`EXAMPLES\n${command.examples.map((each) => exampleLines(each, width)).join("\n")}`);
  if (command.exitStatus !== undefined)
    parts.push(`EXIT STATUS\n${wrap(command.exitStatus, width, indent)}`);
  if (command.seeAlso !== undefined)
    parts.push(`SEE ALSO\n${wrap(command.seeAlso.join(", "), width, indent)}`);
  return `${parts.join("\n\n")}\n`;
}

export function renderProgramHelp(program: Program, columns: number, group = ""): string {
  const width = widthFor(columns);
  const prefix = group === "" ? program.name : `${program.name} ${group}`;
  const parts = [wrap(`${program.summary}.`, width, "")];
  parts.push(`USAGE\n${indent}${prefix} COMMAND [flags]`);
  const shown = shownCommands(program).filter(
    ({ name }) => group === "" || name.startsWith(`${group} `),
  );
  const headWidth = Math.max(...shown.map(({ name }) => name.length));
  const sections = group === "" ? sectionsOf(program, shown) : [["COMMANDS", shown] as const];
  for (const [heading, commands] of sections)
    if (commands.length > 0)
      parts.push(`${heading}\n${columnsOf(summaries(commands), width, headWidth)}`);
  parts.push(`MORE\n${more(program, width)}`);
  return `${parts.join("\n\n")}\n`;
}

/** What somebody is told who said nothing at all: where most people begin. */
export function renderShortHelp(program: Program, columns: number): string {
  const width = widthFor(columns);
  const [first = shownCommands(program)] = sectionsOf(program, shownCommands(program)).map(
    ([, commands]) => commands,
  );
  return `\n${columnsOf(summaries(first), width)}\n\n${more(program, width)}\n`;
}

/** Under the headings of the program; what is under none comes last. */
function sectionsOf(
  program: Program,
  shown: readonly Command[],
): (readonly [string, readonly Command[]])[] {
  const { headings } = program;
  if (headings === undefined) return [["COMMANDS", shown]];
  const headingOf = ({ name }: Command): string | undefined => {
    const words = [name, name.split(" ")[0] ?? ""];
    return words
      .map((word) => Object.keys(headings).find((heading) => headings[heading]?.includes(word)))
      .find((heading) => heading !== undefined);
  };
  const under = (heading: string | undefined): readonly Command[] =>
    shown.filter((command) => headingOf(command) === heading);
  return [
    ...Object.keys(headings).map((heading) => [heading, under(heading)] as const),
    ["OTHER COMMANDS", under(undefined)],
  ];
}

function shownCommands({ commands }: Program): readonly Command[] {
  return commands.filter(({ hidden, name }) => hidden !== true && name !== "");
}

function summaries(commands: readonly Command[]): (readonly [string, string])[] {
  return commands.map(({ name, summary }) => [name, summary] as const);
}

function more(program: Program, width: number): string {
  const topics = ["flags", ...Object.keys(program.topics ?? {})];
  return [
    `${indent}${program.name} COMMAND --help`,
    `${indent}${program.name} help TOPIC`,
    wrap(topics.join(", "), width, indent + indent),
  ].join("\n");
}

/** The text of `help flags`. */
export function renderGlobalFlags(columns: number): string {
  return `GLOBAL FLAGS\n${columnsOf(flagRows(globalFlags), widthFor(columns))}\n`;
}

function flagRows(flags: Flags): (readonly [string, string])[] {
  return Object.entries(flags)
    .filter(([, flag]) => flag.hidden !== true)
    .map(([name, flag]) => [flagHead(name, flag), flagText(flag)] as const);
}

export function flagHead(name: string, flag: Flag): string {
  const short = flag.short === undefined ? "    " : `-${flag.short}, `;
  if (flag.negativeShort !== undefined)
    return `-${flag.short ?? ""}, --${name} / -${flag.negativeShort}, --no-${name}`;
  const long = flag.negatable === true ? `--[no-]${name}` : `--${name}`;
  return `${short}${long}${flag.value === undefined ? "" : ` ${flag.value}`}`;
}

export function flagText(flag: Flag): string {
  const notes: string[] = [];
  if (flag.choices !== undefined) notes.push(`one of ${flag.choices.join(", ")}`);
  if (flag.repeatable === true && flag.value !== undefined) notes.push("may be repeated");
  if (flag.env !== undefined) notes.push(`env ${flag.env}`);
  return notes.length === 0 ? flag.summary : `${flag.summary} (${notes.join("; ")})`;
}

function widthFor(columns: number): number {
  return Math.max(40, Math.min(columns, columnsMax));
}

/** Two columns; a long head gets a line of its own. */
function columnsOf(
  rows: readonly (readonly [string, string])[],
  width: number,
  widest = Math.max(...rows.map(([head]) => head.length)),
): string {
  const headWidth = Math.min(widest, 28);
  const hanging = " ".repeat(indent.length + headWidth + 2);
  return rows
    .map(([head, text]) => {
      const body = wrap(text, width, hanging);
      if (head.length > headWidth) return `${indent}${head}\n${body}`;
      return `${indent}${head.padEnd(headWidth)}  ${body.slice(hanging.length)}`;
    })
    .join("\n");
}

function wrapParagraphs(text: string, width: number): string {
  return text
    .split("\n\n")
    .map((paragraph) => wrap(paragraph, width, ""))
    .join("\n\n");
}

function wrap(text: string, width: number, prefix: string): string {
  const lines: string[] = [];
  let line = prefix;
  for (const word of text.split(/\s+/)) {
    const fits = line.length + word.length + 1 <= width || line === prefix;
    if (!fits) {
      lines.push(line);
      line = prefix;
    }
    line += line === prefix ? word : ` ${word}`;
  }
  return [...lines, line].join("\n");
}

/** One that is too long goes on in the next line, as a shell lets it. */
function exampleLines(example: string, width: number): string {
  const lines: string[] = [];
  let line = indent;
  // Words in quotes stay whole, and so do lines that the example breaks itself.
  for (const word of example.match(/(?:"[^"]*"|'[^']*'|\n\s*|[^\s"'])+|\n\s*/gu) ?? []) {
    const room = width - line.length - " \\".length;
    if (line.trim() !== "" && word.length + 1 > room) {
      lines.push(`${line} \\`);
      line = indent + indent;
    }
    line += line.trim() === "" ? word : ` ${word}`;
  }
  return [...lines, line].join("\n");
}
