import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineCommand, type Program } from "../../src/cli/command.ts";
import { Failure } from "../../src/cli/failure.ts";
import { runProgram } from "../../src/cli/program.ts";
import { memoryContext } from "../support/memory-context.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "fv-log-"));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const program: Program = {
  name: "tool",
  summary: "a tool",
  commands: [
    defineCommand({
      name: "work",
      summary: "work",
      positionals: { word: { name: "WORD" } },
      run: async ({ positionals: { word } }, { log }) => {
        log?.hide("hunter2-hunter2");
        log?.hide('quoted "word"');
        log?.note("step", { quoted: 'a quoted "word" b' });
        log?.note("step", { detail: `with hunter2-hunter2 and fvt1_abcDEF` });
        if (word === "fail") throw new Failure("FV-NET-002", "no answer", { because: "6 packets" });
        return 3;
      },
    }),
  ],
};

async function run(argv: string[], env = {}): Promise<{ code: number; err: string }> {
  const context = memoryContext({ env });
  return { code: await runProgram(program, argv, context), err: context.err() };
}

test("a run is written down as lines, without secrets and without its words", async () => {
  const path = join(folder, "a.log");
  expect((await run(["work", "private-word", "--log-file", path])).code).toBe(3);
  expect((await run(["work", "fail"], { FLY_VAULT_LOG_FILE: path })).code).toBe(6);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  const text = await readFile(path, "utf8");
  for (const secret of ["quoted \\", "hunter2", "fvt1_", "private-word"])
    expect(text).not.toContain(secret);
  const lines = text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(lines.map(({ event }) => event)).toEqual([
    "start",
    "step",
    "step",
    "end",
    "start",
    "step",
    "step",
    "end",
  ]);
  expect(lines[0]).toMatchObject({ program: "tool", command: "work" });
  expect(lines[3]).toMatchObject({ exit_code: 3 });
  expect(lines[7]).toMatchObject({ exit_code: 6, code: "FV-NET-002", because: "6 packets" });
});

test("without one nothing is written; one that cannot be is said before anything is done", async () => {
  expect((await run(["work", "x"], { FLY_VAULT_LOG_FILE: "" })).code).toBe(3);
  const { code, err } = await run(["work", "x", "--log-file", join(folder, "none", "a.log")]);
  expect(code).toBe(1);
  expect(err).toContain("ENOENT");
  expect(err).toContain("FV-SYS-001");
});

test("a disk that is full costs the log and not the run", async () => {
  expect((await run(["work", "x", "--log-file", "/dev/full"])).code).toBe(3);
});
