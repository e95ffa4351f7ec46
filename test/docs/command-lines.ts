import { main as admin } from "../../src/roles/admin/main.ts";
import { main as client } from "../../src/roles/client/main.ts";
import { main as init } from "../../src/roles/init/main.ts";
import { main as local } from "../../src/roles/local/main.ts";
import { main as proxy } from "../../src/roles/proxy/main.ts";
import { memoryContext } from "../support/memory-context.ts";
import { fencedBlocks } from "./console-block.ts";

const programs = {
  "fly-vault": client,
  "fly-vault-admin": admin,
  "vault-proxy": proxy,
  "fly-local": local,
  init,
};
type ProgramName = keyof typeof programs;

export interface CommandLine {
  readonly line: number;
  readonly program: ProgramName;
  readonly words: readonly string[];
}

/** Every command line of ours on a page: in blocks (text and settings apart), indented, and in running text. */
export function commandLines(page: string): CommandLine[] {
  const lines = page.split("\n");
  const found: CommandLine[] = [];
  const fenced = new Set<number>();
  for (const block of fencedBlocks(lines)) {
    for (let at = 0; at < block.lines.length; at++) fenced.add(block.line + at - 1);
    if (!["", "sh", "console"].includes(block.language)) continue;
    const isTyped = (text: string): boolean =>
      block.language !== "console" || text.startsWith("$ ");
    const text = block.lines.join("\n").replaceAll(/\\\n\s*/g, " ");
    found.push(
      ...linesOf(
        text.replaceAll(/^.*$/gm, (row) => (isTyped(row) ? row : "")),
        block.line,
      ),
    );
  }
  for (const [index, text] of lines.entries()) {
    if (fenced.has(index)) continue;
    if (text.startsWith("    ")) found.push(...linesOf(text.replace(/\\$/, ""), index + 1));
    for (const [, code = ""] of text.matchAll(/`([^`]+)`/g))
      found.push(...linesOf(code, index + 1));
  }
  return found;
}

/** Processes that init and the proxy start by themselves: not for people, who only read their names. */
const inner: readonly string[] = "workload unpack files sftp ssh link relay web".split(" ");

/** What is wrong with the words, or nothing: the program itself judges them, before it would do anything. */
export async function mistakeIn({ program, words }: CommandLine): Promise<string | undefined> {
  const context = memoryContext();
  if (inner.includes(words[0] ?? "") && (program === "init" || program === "vault-proxy"))
    return undefined;
  // `fly-vault COMMAND --help` stands for many.
  if (words.some((word) => /^[A-Z]+$/.test(word)) && /^(?:help|[A-Z]+)$/.test(words[0] ?? ""))
    return undefined;
  const isWholeProgram = program === "init" || program === "vault-proxy";
  const asked = isWholeProgram ? [...words, "--help"] : ["--help", ...words];
  const code = await programs[program](asked, context);
  const [mistake = ""] = context.err().split("\n", 1);
  // Running text may name a flag without its value.
  return code === 0 || mistake.includes(" needs a value") ? undefined : mistake;
}

const start =
  /(?:^|[|;(]|&&|\|\|)\s*(?:\$ )?(?:sudo |exec )?(?:[A-Z_]+=\S* )*(fly-vault|fly-vault-admin|vault-proxy|fly-local|init)(?= |$)/g;

function linesOf(text: string, line: number): CommandLine[] {
  return text.split("\n").flatMap((row, at) =>
    [...row.matchAll(start)].flatMap((match) => {
      const words = wordsOf(row.slice(match.index + match[0].length));
      const program = match[1] as ProgramName;
      return words === undefined || isLabel(words) ? [] : [{ line: line + at, program, words }];
    }),
  );
}

/** What keys are derived with, and a lease's description, begin with the program's name as well. */
function isLabel([first = "", second = ""]: readonly string[]): boolean {
  return ((first === "admission" || first === "mask") && second === "1") || first === "rollout";
}

/** As a shell cuts them, up to where the command ends; nothing where the text is a sentence or a pattern. */
function wordsOf(text: string): string[] | undefined {
  const words: string[] = [];
  for (const [, quoted, double, plain] of text.matchAll(/\s*(?:'([^']*)'|"([^"]*)"|([^\s'"]+))/g)) {
    const word = quoted ?? double ?? plain ?? "";
    if (plain !== undefined && /^(?:[|&;>#)]|[0-9]?>|<)/.test(plain)) break;
    if (/…|^\.\.\.$/.test(word)) return undefined;
    words.push(word.replace(/[;)]$/, ""));
    if (/[;)]$/.test(word) && plain !== undefined) break;
  }
  return words;
}
