import { describe, expect, test } from "bun:test";
import { canAsk } from "../../src/cli/can-ask.ts";
import type { ColourWish } from "../../src/cli/colour-wish.ts";
import { styled, usesColour } from "../../src/cli/colour.ts";
import { defineCommand, type Program } from "../../src/cli/command.ts";
import type { Context } from "../../src/cli/context.ts";
import { runProgram } from "../../src/cli/program.ts";
import { mark } from "../../src/cli/symbols.ts";
import { memoryContext } from "../support/memory-context.ts";

type Env = Readonly<Record<string, string>>;

describe("usesColour", () => {
  test.each<[ColourWish, boolean, Env, boolean]>([
    ["auto", true, {}, true],
    ["auto", false, {}, false],
    ["auto", true, { NO_COLOR: "1" }, false],
    ["auto", true, { NO_COLOR: "" }, true],
    ["auto", true, { CLICOLOR: "0" }, false],
    ["auto", true, { CLICOLOR: "1" }, true],
    ["auto", true, { TERM: "dumb" }, false],
    ["auto", false, { CLICOLOR: "1" }, false],
    ["auto", false, { FORCE_COLOR: "1" }, true],
    ["auto", false, { FORCE_COLOR: "true", NO_COLOR: "1", TERM: "dumb" }, true],
    ["auto", true, { FORCE_COLOR: "0" }, false],
    ["auto", true, { FORCE_COLOR: "false" }, false],
    ["auto", false, { CLICOLOR_FORCE: "1" }, true],
    ["auto", false, { CLICOLOR_FORCE: "1", NO_COLOR: "1" }, true],
    ["auto", false, { CLICOLOR_FORCE: "0" }, false],
    ["always", false, { NO_COLOR: "1", TERM: "dumb", FORCE_COLOR: "0" }, true],
    ["never", true, { FORCE_COLOR: "1", CLICOLOR_FORCE: "1" }, false],
  ])("--color=%s, a terminal: %p, %j: %p", (wish, isTty, env, expected) => {
    expect(usesColour({ isTty }, wish, env)).toBe(expected);
  });

  test("is asked for each output by itself", () => {
    const context: Context = memoryContext({ tty: true });
    const piped = { ...context, stdout: { ...context.stdout, isTty: false } };
    expect(styled("red", "x", "stdout", piped)).toBe("x");
    expect(styled("red", "x", "stderr", piped)).toBe("\u001b[31mx\u001b[39m");
  });
});

test.each<[string, Env, Partial<{ stdin: boolean; stderr: boolean; noInput: boolean }>, boolean]>([
  ["two terminals", {}, {}, true],
  ["no terminal to read", {}, { stdin: false }, false],
  ["no terminal to write", {}, { stderr: false }, false],
  ["--no-input", {}, { noInput: true }, false],
  ["the variable", { FLY_VAULT_NO_INPUT: "1" }, {}, false],
  ["an empty variable", { FLY_VAULT_NO_INPUT: "", CI: "" }, {}, true],
  ["CI", { CI: "true" }, {}, false],
])("canAsk: %s", (_, env, { stdin = true, stderr = true, noInput = false }, expected) => {
  const context = memoryContext({ env, tty: true });
  const asked = canAsk({
    env,
    noInput,
    stdin: { ...context.stdin, isTty: stdin },
    stderr: { ...context.stderr, isTty: stderr },
  });
  expect(asked).toBe(expected);
});

test("marks are words of one width where the locale has no others", () => {
  const statuses = ["ok", "warning", "failed", "skipped"] as const;
  expect(statuses.map((status) => mark(status, { LANG: "C" }))).toEqual([
    "ok  ",
    "warn",
    "FAIL",
    "skip",
  ]);
  expect(statuses.map((status) => mark(status, { LC_ALL: "en_GB.utf8" }))).toEqual([
    "✓",
    "!",
    "✗",
    "-",
  ]);
});

const program: Program = {
  name: "tool",
  summary: "A tool",
  commands: [
    defineCommand({
      name: "ask",
      summary: "say whether it would ask, in colour",
      flags: { json: { summary: "JSON" } },
      run: async (_, context) => {
        const words = styled("green", canAsk(context) ? "asks" : "does not ask", "stdout", context);
        await context.stdout.write(words);
        return 0;
      },
    }),
    defineCommand({
      name: "exec",
      summary: "somebody else's command",
      flags: { json: { summary: "JSON" } },
      positionals: { vault: { name: "VAULT" } },
      passthrough: { name: "COMMAND" },
      run: async () => 0,
    }),
  ],
};

test.each([
  [["ask"], "\u001b[32masks\u001b[39m"],
  [["ask", "--no-input"], "\u001b[32mdoes not ask\u001b[39m"],
  [["--no-input", "ask"], "\u001b[32mdoes not ask\u001b[39m"],
  [["ask", "--json"], "\u001b[32mdoes not ask\u001b[39m"],
  [["--color=never", "ask"], "asks"],
  [["--color", "never", "ask", "--no-input"], "does not ask"],
])("%j on a terminal", async (words, expected) => {
  const context = memoryContext({ tty: true });
  expect(await runProgram(program, words, context)).toBe(0);
  expect(context.out()).toBe(expected);
});

describe("a usage error with --json", () => {
  test.each([
    [["ask", "--json", "--nope"], "unknown flag --nope"],
    [["--no-input", "ask", "x", "--json"], 'one word too many: "x"'],
    [["frob", "--json"], 'unknown command "frob"'],
    [["exec", "--json", "dev"], "COMMAND is missing"],
    [["exec", "--json", "--nope", "dev", "ls"], "unknown flag --nope"],
  ])("%j is one line of it", async (words, message) => {
    const context = memoryContext();
    expect(await runProgram(program, words, context)).toBe(2);
    expect(context.out()).toBe("");
    expect(context.err()).toEndWith("}\n");
    const { error } = JSON.parse(context.err()) as { error: Record<string, unknown> };
    expect(error).toMatchObject({ code: "FV-CLI-001", cause: null, exit: 2 });
    expect(error["message"]).toStartWith(message);
    expect(error["fix"]).toStartWith("tool ");
  });

  test("is none where the word is somebody else's", async () => {
    const context = memoryContext();
    expect(await runProgram(program, ["exec", "--nope", "dev", "ls", "--json"], context)).toBe(2);
    expect(context.err()).toStartWith("error: unknown flag --nope");
  });
});
