import { describe, expect, test } from "bun:test";
import { jsonSchemaOf } from "../../src/cli/json-help.ts";
import type { Program } from "../../src/cli/command.ts";
import { runProgram } from "../../src/cli/program.ts";
import { program as admin } from "../../src/roles/admin/program.ts";
import { program as client } from "../../src/roles/client/program.ts";
import { memoryContext } from "../support/memory-context.ts";
import { checkPrintedJson } from "../support/printed-json.ts";

/** Their result is somebody else's bytes, or nothing; `--json` is about errors. */
const errorsOnly: ReadonlySet<string> = new Set([
  "attach",
  "exec",
  "logs",
  "kill",
  "session rename",
]);

async function help(program: Program, ...words: readonly string[]) {
  const context = memoryContext();
  const code = await runProgram(program, ["help", "json", ...words], context);
  return { code, out: context.out(), err: context.err() };
}

describe.each([
  ["fly-vault", client],
  ["fly-vault-admin", admin],
])("%s", (_, program) => {
  test("every command with --json has a schema, and every schema a command", async () => {
    const outputs = await program.jsonOutputs?.();
    const told = Object.values(outputs ?? {}).flatMap(({ from }) => from);
    const commands = program.commands
      .filter(({ name, flags = {} }) => "json" in flags && !errorsOnly.has(name))
      .map(({ name }) => name);
    expect(told.toSorted()).toEqual(commands.toSorted());
  });

  test("each has a JSON Schema, whose name and version are its own", async () => {
    const outputs = (await program.jsonOutputs?.()) ?? {};
    for (const [name, output] of Object.entries(outputs)) {
      const text = JSON.stringify(jsonSchemaOf(name, output));
      if (text.includes('"fly-vault/') && text.includes('"schema":{"const"'))
        expect(text).toContain(`"schema":{"const":"fly-vault/${name}"},"version":{"const":1}`);
      const shown = await help(program, name);
      expect(shown).toMatchObject({ code: 0, err: "" });
      expect(JSON.parse(shown.out)).toMatchObject({ title: `fly-vault/${name}` });
    }
  });

  test("help json names them all, in 80 columns", async () => {
    const outputs = (await program.jsonOutputs?.()) ?? {};
    const { out } = await help(program);
    for (const name of Object.keys(outputs)) expect(out).toContain(`    ${name} `);
    expect(out.split("\n").filter((line) => line.length > 84)).toEqual([]);
  });
});

test("a name that is nearly right is named", async () => {
  const { code, err } = await help(client, "verfy");
  expect(code).toBe(2);
  expect(err).toStartWith('error: unknown JSON output "verfy" (did you mean verify?)');
});

test("the check of printed JSON finds what is missing, wrong, and too much", async () => {
  const outputs = (await client.jsonOutputs?.()) ?? {};
  const entry = { vault: "dev", pid: 1, stopped: true };
  const check = (data: unknown) => () =>
    checkPrintedJson(
      outputs,
      ["link", "stop", "--json"],
      JSON.stringify({ schema: "fly-vault/link-stop", version: 1, data }),
    );
  expect(check([entry])).not.toThrow();
  expect(check([{ vault: "dev", stopped: true }])).toThrow("pid");
  expect(check([{ ...entry, pid: -1 }])).toThrow("pid");
  expect(check([{ ...entry, more: 1 }])).toThrow("has more");
  expect(() => checkPrintedJson(outputs, ["frob", "--json"], "{}")).toThrow("no schema");
});
