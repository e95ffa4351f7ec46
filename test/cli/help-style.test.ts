import { describe, expect, test } from "bun:test";
import { type Flag, globalFlags, type Program } from "../../src/cli/command.ts";
import { renderCommandHelp, renderProgramHelp } from "../../src/cli/help.ts";
import { runProgram } from "../../src/cli/program.ts";
import { program as admin } from "../../src/roles/admin/program.ts";
import { program as client } from "../../src/roles/client/program.ts";
import { memoryContext } from "../support/memory-context.ts";

/** A vault, a tenant, a machine, a session, a link: one word for each thing, and no small talk. */
const strangers =
  /\b(?:VMs?|box(?:es)?|sandbox\w*|workspaces?|instances?|tunnels?|nodes?|pods?|please|simply|just use|sorry|oops|easily)\b|\w!/i;

/** They print what they are asked for, or words that they are given. */
const plain: ReadonlySet<string> = new Set(["config path", "completion"]);

describe.each([client, admin])("$name", (program: Program) => {
  const shown = program.commands.filter(({ hidden }) => hidden !== true);

  test.each(shown.map((command) => [command.name, command] as const))("%s --help", (_, command) => {
    const text = renderCommandHelp(program, command, 80);
    const lines = text.split("\n");
    expect(lines.filter((line) => Bun.stringWidth(line) > 80)).toEqual([]);
    expect(lines.filter((line) => line !== line.trimEnd())).toEqual([]);
    expect(text).toContain(`\nUSAGE\n  ${program.name} ${command.name}`);
    expect(command.summary).toMatch(/^[A-Z].*[^.]$/s);
    if (!plain.has(command.name)) expect(command.examples ?? []).not.toEqual([]);
    expect(strangers.exec(text)?.[0]).toBeUndefined();
    for (const flag of Object.values(command.flags ?? {}))
      expect(flag.summary).toMatch(/^(?:[^A-Z]|[A-Z]{2}|(?:Fly|Machines API)\b)/);
  });

  test("no command takes a global flag for its own", () => {
    const letters = new Set(Object.values<Flag>(globalFlags).flatMap(({ short }) => short ?? []));
    for (const { name, flags = {} } of program.commands) {
      const taken = Object.keys(flags).filter((flag) => Object.hasOwn(globalFlags, flag));
      const said = Object.values(flags).flatMap(({ short }) => short ?? []);
      expect([name, taken, said.filter((letter) => letters.has(letter))]).toEqual([name, [], []]);
    }
  });

  test("the list has every command once, under a heading of its own", () => {
    const text = renderProgramHelp(program, 80);
    expect(text.split("\n").filter((line) => Bun.stringWidth(line) > 80)).toEqual([]);
    expect(text).not.toContain("OTHER COMMANDS");
    for (const { name } of shown)
      expect([
        name,
        text.split("\n").filter((line) => line.startsWith(`  ${name}  `)).length,
      ]).toEqual([name, 1]);
  });

  test("without a word: short help on stderr, exit 2", async () => {
    const context = memoryContext();
    expect(await runProgram(program, [], context)).toBe(2);
    expect(context.out()).toBe("");
    const lines = context.err().split("\n");
    expect(lines[0]).toBe("error: a command is missing");
    expect(lines.length).toBeLessThan(24);
    expect(context.err()).toContain(`  ${program.name} COMMAND --help\n`);
  });
});

test.each(Object.entries(client.topics ?? {}))("help %s has no foreign words", (_, text) => {
  expect(strangers.exec(text)?.[0]).toBeUndefined();
  expect(text.split("\n").filter((line) => line.length > 86)).toEqual([]);
});
