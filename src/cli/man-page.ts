import { type Command, globalFlags, type Program } from "./command.ts";
import { flagHead, flagText, usageLine } from "./help.ts";

export interface ManPage {
  /** `fly-vault-exec.1` */
  readonly file: string;
  readonly text: string;
}

/** A page of section 1 for the program, one for each command, and one of section 7 for each topic; man(7) macros. */
export function manPages(program: Program, version: string): readonly ManPage[] {
  const commands = program.commands.filter(({ hidden, name }) => hidden !== true && name !== "");
  return [
    { file: `${program.name}.1`, text: overview(program, commands, version) },
    ...commands.map((command) => ({
      file: `${pageName(program, command)}.1`,
      text: commandPage(program, command, version),
    })),
    ...Object.entries(program.topics ?? {}).map(([topic, text]) => ({
      file: `${program.name}-${topic}.7`,
      text: topicPage(`${program.name}-${topic}`, text, version),
    })),
  ];
}

function overview(program: Program, commands: readonly Command[], version: string): string {
  const rows = commands.map((command) =>
    tagged(`${program.name} ${command.name}`, command.summary),
  );
  const topics = Object.keys(program.topics ?? {}).map((topic) => `${program.name}-${topic}(7)`);
  return [
    head(program.name, 1, version),
    `.SH NAME\n${roff(program.name)} \\- ${roff(program.summary)}`,
    `.SH SYNOPSIS\n.B ${roff(program.name)}\n.I COMMAND\n[flags]`,
    `.SH COMMANDS\n${rows.join("\n")}`,
    globals,
    ...(topics.length === 0 ? [] : [`.SH SEE ALSO\n${roff(topics.join(", "))}`]),
    "",
  ].join("\n");
}

function commandPage(program: Program, command: Command, version: string): string {
  const name = pageName(program, command);
  const parts = [
    head(name, 1, version),
    `.SH NAME\n${roff(name)} \\- ${roff(command.summary)}`,
    `.SH SYNOPSIS\n${roff(usageLine(program, command))}`,
  ];
  if (command.description !== undefined)
    parts.push(`.SH DESCRIPTION\n${command.description.split("\n\n").map(roff).join("\n.PP\n")}`);
  const options = Object.entries(command.flags ?? {})
    .filter(([, flag]) => flag.hidden !== true)
    .map(([flagName, flag]) => tagged(flagHead(flagName, flag).trim(), flagText(flag)));
  if (options.length > 0) parts.push(`.SH OPTIONS\n${options.join("\n")}`);
  parts.push(globals);
  if (command.exitStatus !== undefined) parts.push(`.SH EXIT STATUS\n${roff(command.exitStatus)}`);
  if (command.examples !== undefined)
    parts.push(`.SH EXAMPLES\n${command.examples.map(roff).map(verbatim).join("\n.PP\n")}`);
  if (command.seeAlso !== undefined)
    parts.push(`.SH SEE ALSO\n${roff(command.seeAlso.map(pageReference).join(", "))}`);
  return `${parts.join("\n")}\n`;
}

function topicPage(name: string, text: string, version: string): string {
  const [title = "", ...lines] = text.trimEnd().split("\n");
  const summary = title.trim().toLowerCase();
  return [
    head(name, 7, version),
    `.SH NAME\n${roff(name)} \\- ${roff(summary)}`,
    `.SH DESCRIPTION\n${verbatim(lines.map(roff).join("\n"))}`,
    "",
  ].join("\n");
}

/** Without a date: the same source makes the same page. */
function head(name: string, section: number, version: string): string {
  return `.TH ${name.toUpperCase()} ${section} "" "fly-vault ${version}" "fly-vault"`;
}

const globals = `.SH GLOBAL OPTIONS\n${Object.entries(globalFlags)
  .map(([name, flag]) => tagged(flagHead(name, flag).trim(), flagText(flag)))
  .join("\n")}`;

function tagged(tag: string, text: string): string {
  return `.TP\n.B ${roff(tag)}\n${roff(text)}`;
}

function verbatim(text: string): string {
  return `.nf\n${text}\n.fi`;
}

function pageName(program: Program, command: Command): string {
  return `${program.name}-${command.name.replaceAll(" ", "-")}`;
}

/** `fly-vault help config` is fly-vault-config(7), a command fly-vault-NAME(1). */
function pageReference(words: string): string {
  const topic = /^(\S+) help (\S+)$/.exec(words);
  if (topic !== null) return `${topic[1]}-${topic[2]}(7)`;
  return /^fly-vault[a-z-]*(?: [a-z-]+)+$/.test(words) ? `${words.replaceAll(" ", "-")}(1)` : words;
}

/** Nothing in a text may be a request or an escape (groff_char(7): \e, \-, \(aq; a zero-width \& before a dot). */
function roff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll("'", "\\(aq")
    .replaceAll(/^[.]/gm, "\\&.");
}
