import { describe, expect, test } from "bun:test";
import { type LazyProgram, type CommandLoaders, runLazily } from "../../src/cli/lazy-program.ts";
import { defineCommand } from "../../src/cli/command.ts";
import { version } from "../../src/cli/program.ts";
import { commands as admin } from "../../src/roles/admin/commands.ts";
import { commands as client } from "../../src/roles/client/commands.ts";
import { memoryContext } from "../support/memory-context.ts";

/** What ran or was loaded, in order. */
function lazyProgram(log: string[]): LazyProgram {
  const named = (name: string) => async () => {
    log.push(`load ${name}`);
    return defineCommand({
      name,
      summary: name,
      flags: { fast: { summary: "quickly" } },
      run: async () => {
        log.push(`run ${name}`);
        return 7;
      },
    });
  };
  const commands: CommandLoaders = { port: named("port"), "port ls": named("port ls") };
  return {
    name: "tool",
    commands,
    whole: async () => {
      log.push("whole");
      return {
        name: "tool",
        summary: "a tool",
        commands: await Promise.all(Object.values(commands).map(async (load) => load())),
      };
    },
  };
}

async function run(argv: readonly string[]) {
  const log: string[] = [];
  const context = memoryContext();
  const exitCode = await runLazily(lazyProgram(log), argv, context);
  return { exitCode, log, out: context.out(), err: context.err() };
}

describe("only what is asked for is loaded", () => {
  test("a command, behind switches too, and the longer name first", async () => {
    expect((await run(["port", "--fast"])).log).toEqual(["load port", "run port"]);
    expect((await run(["-q", "--color", "never", "port", "ls"])).log).toEqual([
      "load port ls",
      "run port ls",
    ]);
    expect((await run(["port"])).exitCode).toBe(7);
  });

  test("its own help and its own errors", async () => {
    expect(await run(["port", "--help"])).toMatchObject({ exitCode: 0, log: ["load port"] });
    const { exitCode, log, err } = await run(["port", "--fats"]);
    expect([exitCode, log]).toEqual([2, ["load port"]]);
    expect(err).toContain("usage: tool port [flags]");
  });

  test("the version needs no command at all", async () => {
    expect(await run(["--version"])).toMatchObject({ log: [], out: `tool ${version}\n` });
  });

  test.each([[[]], [["--help"]], [["help", "port"]], [["--help", "--version"]], [["toString"]]])(
    "%p needs them all",
    async (argv) => {
      expect((await run(argv)).log).toEqual(["whole", "load port", "load port ls"]);
    },
  );
});

test.each([...Object.entries(client), ...Object.entries(admin)])(
  "%s is listed under its own name",
  async (name, load) => {
    expect((await load()).name).toBe(name);
  },
);
