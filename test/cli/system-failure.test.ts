import { expect, test } from "bun:test";
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { defineCommand } from "../../src/cli/command.ts";
import { runProgram } from "../../src/cli/program.ts";
import { systemFailure } from "../../src/cli/system-failure.ts";
import { memoryContext } from "../support/memory-context.ts";

function thrown(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}

function writeOnFullDisk(): void {
  const full = openSync("/dev/full", "w");
  try {
    writeSync(full, "x");
  } finally {
    closeSync(full);
  }
}

async function workOnFullDisk(): Promise<number> {
  writeOnFullDisk();
  return 0;
}

test("a full disk is no mistake of ours, and what nobody can help is", () => {
  expect(systemFailure(thrown(writeOnFullDisk))).toMatchObject({
    code: "FV-SYS-001",
    message: "there is no room left on the disk",
    because: expect.stringContaining("ENOSPC"),
  });
  expect(systemFailure(thrown(() => readFileSync("/dev/null/x")))?.message).toContain("a file is");
  expect(systemFailure(thrown(() => readFileSync("/nonexistent")))).toBeUndefined();
  expect(systemFailure(new Error("ENOSPC"))).toBeUndefined();
});

test("a command that meets one says so, without the word bug", async () => {
  const context = memoryContext();
  const work = defineCommand({ name: "work", summary: "work", run: workOnFullDisk });
  const program = { name: "tool", summary: "a tool", commands: [work] };
  expect(await runProgram(program, ["work"], context)).toBe(1);
  expect(context.err()).toStartWith("error: there is no room left on the disk\n");
});
