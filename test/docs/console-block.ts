/**
 * What docs/testing.md calls a console block: a fenced block of the language `console`, read as a person would
 * follow it. Lines that begin with `$ ` are typed into a shell, with what continues them (a backslash at the end, a
 * here-document); lines with a machine's prompt (`root@acme:~# `) are typed into that machine's console; all others are
 * output.
 */
export interface Step {
  /** Of the page, from 1. */
  readonly line: number;
  readonly command: string;
  readonly shown: readonly Shown[];
}

export type Shown =
  | { readonly kind: "output"; readonly text: string }
  | { readonly kind: "typed"; readonly text: string };

/** The steps of a page up to a heading, or to its end. */
export function consoleSteps(page: string, untilHeading?: string): Step[] {
  const lines = page.split("\n");
  const end = untilHeading === undefined ? -1 : lines.indexOf(untilHeading);
  const steps: Step[] = [];
  for (const block of fencedBlocks(lines.slice(0, end < 0 ? lines.length : end)))
    if (block.language === "console") steps.push(...stepsOf(block));
  return steps;
}

export interface Block {
  /** Of its first line between the fences. */
  readonly line: number;
  readonly language: string;
  readonly lines: readonly string[];
}

export function fencedBlocks(lines: readonly string[]): Block[] {
  const blocks: Block[] = [];
  for (let at = 0; at < lines.length; at++) {
    const language = /^```(\w*)$/.exec(lines[at] ?? "")?.[1];
    if (language === undefined) continue;
    const start = at + 1;
    const close = lines.indexOf("```", start);
    if (close < 0) throw new Error(`the block that begins in line ${at + 1} has no end`);
    blocks.push({ line: start + 1, language, lines: lines.slice(start, close) });
    at = close;
  }
  return blocks;
}

function stepsOf(block: Block): Step[] {
  const steps: { line: number; command: string; shown: Shown[] }[] = [];
  for (let at = 0; at < block.lines.length; at++) {
    const text = block.lines[at] ?? "";
    if (text.startsWith("$ ")) {
      const command = wholeCommand(block.lines, at);
      steps.push({ line: block.line + at, command: command.join("\n").slice(2), shown: [] });
      at += command.length - 1;
      continue;
    }
    const step = steps.at(-1);
    if (step === undefined) throw new Error(`line ${block.line + at} is output of no command`);
    step.shown.push(shownLine(text));
  }
  return steps;
}

function wholeCommand(lines: readonly string[], start: number): string[] {
  const command = [lines[start] ?? ""];
  while (command.at(-1)?.endsWith("\\")) command.push(lines[start + command.length] ?? "");
  const word = /<<'?(\w+)'?/.exec(command.join("\n"))?.[1];
  if (word === undefined) return command;
  const end = lines.indexOf(word, start + command.length);
  if (end < 0) throw new Error(`the here-document ${word} has no end`);
  return lines.slice(start, end + 1);
}

function shownLine(text: string): Shown {
  const typed = /^[a-z0-9]+@[a-z0-9-]+:\S*[#$] (.+)$/.exec(text)?.[1];
  return typed === undefined ? { kind: "output", text } : { kind: "typed", text: typed };
}
