import { expect, test } from "bun:test";
import { defineCommand, type Program } from "../../src/cli/command.ts";
import { BrokenPipe } from "../../src/cli/context.ts";
import { Failure } from "../../src/cli/failure.ts";
import { runProgram, version } from "../../src/cli/program.ts";
import { UsageError } from "../../src/cli/usage-error.ts";
import { memoryContext } from "../support/memory-context.ts";

let seen: unknown;

const exec = defineCommand({
  name: "exec",
  summary: "Run a command in a vault, as a pipe",
  positionals: { vault: { name: "VAULT" } },
  flags: {
    tty: { short: "t", summary: "force a terminal" },
    env: { short: "e", value: "KEY=VALUE", repeatable: true, summary: "set a variable" },
    workdir: { short: "w", value: "DIR", summary: "start here" },
    "no-shell": { short: "N", summary: "none" },
    link: {
      negatable: true,
      short: "l",
      negativeShort: "S",
      env: "LINK_X",
      summary: "use the background link",
    },
    when: { value: "WHEN", choices: ["auto", "always"], env: "COLOR_X", summary: "colour" },
    json: { summary: "for programs" },
  },
  passthrough: { name: "COMMAND [ARG…]" },
  examples: ["tar c src | fly-vault exec my-dev -- tar x -C /work"],
  exitStatus: "the command's own",
  run: async (options) => {
    seen = options;
    // Types: these lines are the test that inference works.
    const words: readonly string[] = options.flags.env;
    const link: boolean | undefined = options.flags.link;
    const vault: string = options.positionals.vault;
    if (vault === "broken") throw new BrokenPipe("gone");
    if (vault === "usage") throw new UsageError("-t and -T exclude each other");
    if (vault === "bug") throw new TypeError("undefined is not a function");
    if (vault === "nope")
      throw new Failure("FV-CFG-005", 'no vault "nope"', { because: "bad\u001b[31m", fix: "x" });
    return words.length + (link === false ? 40 : 0);
  },
});

const create = defineCommand({
  name: "tenant create",
  summary: "Create a tenant",
  positionals: {
    id: { name: "ID" },
    more: { name: "MORE", optional: true, repeatable: true },
  },
  run: async (options) => {
    seen = options;
    return 0;
  },
});

const logs = defineCommand({
  name: "logs",
  summary: "Show what a session wrote",
  positionals: {
    vault: { name: "VAULT", optional: true },
    session: { name: "SESSION" },
  },
  run: async (options) => {
    seen = options.positionals;
    return 0;
  },
});

const hidden = defineCommand({ name: "secret", summary: "x", hidden: true, run: async () => 5 });

const program: Program = {
  name: "fly-vault",
  summary: "A machine",
  commands: [exec, create, logs, hidden],
  topics: { "exit-codes": "0 done" },
};

async function run(words: string[], env: Record<string, string> = {}) {
  seen = undefined;
  const context = memoryContext({ env });
  const code = await runProgram(program, words, context);
  return { code, out: context.out(), err: context.err(), options: seen };
}

test("a variable says yes or no to what has both, and a flag comes first", async () => {
  const linkOf = async (value: string, ...words: string[]) =>
    (await run(["exec", ...words, "dev", "ls"], { LINK_X: value })).options;
  for (const [value, link] of [
    ["1", true],
    ["true", true],
    ["0", false],
    ["false", false],
    ["", undefined],
  ] as const)
    expect(await linkOf(value)).toMatchObject({ flags: { link } });
  expect(await linkOf("0", "--link")).toMatchObject({ flags: { link: true } });
  const unclear = await run(["exec", "dev", "ls"], { LINK_X: "no" });
  expect([unclear.code, unclear.err]).toEqual([2, expect.stringContaining("must be 1 or 0")]);
});

test("a repeated flag keeps every value, in order", async () => {
  const { code, options } = await run(["exec", "-e", "A=1", "dev", "--env=B=2", "-eC=3", "ls"]);
  expect(code).toBe(3);
  expect(options).toMatchObject({ flags: { env: ["A=1", "B=2", "C=3"] }, rest: ["ls"] });
});

test("an unknown flag is refused with the near one, on stderr, as two lines", async () => {
  const { code, out, err, options } = await run(["exec", "dev", "--wrkdir", "/x", "ls"]);
  expect(code).toBe(2);
  expect(out).toBe("");
  expect(options).toBeUndefined();
  expect(err).toBe(
    'error: unknown flag --wrkdir for "exec" (did you mean --workdir?)\n' +
      "usage: fly-vault exec VAULT [flags] [--] COMMAND [ARG…]      (fly-vault exec --help)\n",
  );
});

test("nothing after the remote command's first word is looked at", async () => {
  const words = ["ls", "-la", "--help", "--nope", "--", "-e", "X"];
  expect((await run(["exec", "dev", ...words])).options).toMatchObject({
    flags: { env: [], tty: false },
    rest: words,
  });
  expect((await run(["exec", "-t", "dev", "--", "--help"])).options).toMatchObject({
    flags: { tty: true },
    rest: ["--help"],
  });
});

test("flags stand before or after the vault; the last of a single flag wins", async () => {
  const { options } = await run(["exec", "-w", "/a", "dev", "-w=/b", "--no-link", "--link", "x"]);
  expect(options).toMatchObject({ flags: { workdir: "/b", link: true } });
});

test("values that look like flags or negations survive", async () => {
  const { options } = await run(["exec", "-w", "--no-link", "dev", "-e", "--x=--y", "true"]);
  expect(options).toMatchObject({
    flags: { workdir: "--no-link", link: undefined, env: ["--x=--y"] },
  });
});

test("a flag whose own name begins with no- is itself, and a letter can negate", async () => {
  expect((await run(["exec", "--no-shell", "dev", "x"])).options).toMatchObject({
    flags: { "no-shell": true, link: undefined },
  });
  expect((await run(["exec", "-N", "-lS", "dev", "x"])).options).toMatchObject({
    flags: { "no-shell": true, link: false },
  });
});

test("an empty value is a value", async () => {
  expect((await run(["exec", "--workdir=", "dev", "x"])).options).toMatchObject({
    flags: { workdir: "" },
  });
});

test.each([
  [["exec"], "VAULT is missing"],
  [["exec", "dev"], "COMMAND [ARG…] is missing"],
  [["exec", "dev", "-w"], "-w needs a value: -w DIR"],
  [["exec", "dev", "--tty=yes", "x"], "--tty takes no value"],
  [["exec", "dev", "--when", "red", "x"], '--when must be one of auto, always, not "red"'],
  [["exec", "dev", "-tz", "x"], 'unknown flag -z for "exec"'],
  [["exec", "dev", "--__proto__", "x"], 'unknown flag --__proto__ for "exec"'],
  [["exec", "dev", "--no-tty", "x"], 'unknown flag --no-tty for "exec"'],
  [["exce", "dev"], 'unknown command "exce" (did you mean exec?)'],
  [["secrt"], 'unknown command "secrt" (fly-vault help)'],
  [["tenant", "crate"], 'unknown command "tenant" "crate" (did you mean create?)'],
  [["tenant"], '"tenant" needs one of create'],
  [["exec", "usage", "x"], "-t and -T exclude each other"],
])("%j is refused with exit 2: %s", async (words, message) => {
  const { code, out, err } = await run(words);
  expect({ code, out }).toEqual({ code: 2, out: "" });
  expect(err).toStartWith(`error: ${message}`);
  expect(err.split("\n")).toHaveLength(3);
});

test("help that was asked for goes to stdout and fits 80 columns", async () => {
  for (const words of [
    ["exec", "--help"],
    ["--help", "exec"],
    ["help", "exec"],
    ["exec", "-h"],
  ]) {
    const { code, out, err } = await run(words);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toContain("USAGE\n  fly-vault exec VAULT [flags] [--] COMMAND [ARG…]");
    expect(out).toContain("-e, --env KEY=VALUE");
    expect(Math.max(...out.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
  }
  const overview = await run(["--help"]);
  expect(overview.out).toContain("tenant create");
  expect(overview.out).not.toContain("secret");
  expect((await run(["help", "exit-codes"])).out).toBe("0 done\n");
  expect((await run(["tenant", "--help"])).out).toContain("fly-vault tenant COMMAND");
});

test("--version answers everywhere before the remote command", async () => {
  for (const words of [["--version"], ["exec", "--version"]])
    expect(await run(words)).toMatchObject({ code: 0, out: `fly-vault ${version}\n` });
});

test("a variable stands in for an absent flag, is checked like it, and yields to it", async () => {
  const both = ["exec", "dev", "x"];
  expect((await run(both, { COLOR_X: "always" })).options).toMatchObject({
    flags: { when: "always" },
  });
  expect((await run(both, { COLOR_X: "" })).options).toMatchObject({ flags: { when: undefined } });
  expect((await run(both, { COLOR_X: "blue" })).err).toContain("COLOR_X must be one of");
  expect(
    (await run(["exec", "--when=auto", "dev", "x"], { COLOR_X: "always" })).options,
  ).toMatchObject({ flags: { when: "auto" } });
});

test("a failure prints its four lines, without control characters, and its exit code", async () => {
  const { code, err } = await run(["exec", "nope", "x"]);
  expect(code).toBe(3);
  expect(err).toBe(
    'error: no vault "nope"\n  cause: bad [31m\n  fix:   x\n  code:  FV-CFG-005 · fly-vault explain FV-CFG-005\n',
  );
});

test("with --json a failure is one line of JSON on stderr", async () => {
  const { code, out, err } = await run(["exec", "--json", "nope", "x"]);
  expect({ code, out }).toEqual({ code: 3, out: "" });
  expect(JSON.parse(err)).toMatchObject({ error: { code: "FV-CFG-005", exit: 3 } });
});

test("a closed stdout ends quietly; anything unexpected says it is a bug", async () => {
  expect(await run(["exec", "broken", "x"])).toMatchObject({ code: 141, err: "" });
  const bug = await run(["exec", "bug", "x"]);
  expect(bug.code).toBe(1);
  expect(bug.err).toContain("bug: TypeError: undefined is not a function");
  expect(bug.err).not.toContain(" at ");
  expect((await run(["exec", "--debug", "bug", "x"])).err).toContain(" at ");
});

test("a repeatable positional takes what is left; one word too many is refused", async () => {
  expect((await run(["tenant", "create", "acme", "b", "--", "-c"])).options).toMatchObject({
    positionals: { id: "acme", more: ["b", "-c"] },
  });
});

test("a word that may be left out gives way to one that may not", async () => {
  expect((await run(["logs", "dev", "build"])).options).toEqual({ vault: "dev", session: "build" });
  expect((await run(["logs", "build"])).options).toEqual({ vault: undefined, session: "build" });
  expect((await run(["logs"])).err).toStartWith("error: SESSION is missing\n");
  expect((await run(["logs", "a", "b", "c"])).err).toStartWith('error: one word too many: "c"\n');
});
