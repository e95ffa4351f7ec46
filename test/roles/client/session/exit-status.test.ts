import { expect, test } from "bun:test";
import type { Exit } from "../../../../src/protocol/session-message.ts";
import { finishedStatus } from "../../../../src/roles/client/session/exit-status.ts";
import { memoryContext } from "../../../support/memory-context.ts";

test.each<[Exit, number, string]>([
  [{ code: 7 }, 7, ""],
  [{ signal: 9 }, 137, ""],
  [{ signal: 15, timed_out: true }, 124, ""],
  [{ signal: 9, out_of_memory: true }, 137, "killed: the machine ran out of memory\n"],
])("%j is status %i", async (exit, status, words) => {
  const context = memoryContext();
  expect(await finishedStatus(exit, context)).toBe(status);
  expect(context.err()).toBe(words);
  expect(context.out()).toBe("");
});
