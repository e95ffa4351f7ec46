import { expect, test } from "bun:test";
import { CopyReport } from "../../../../src/roles/client/files/cp-report.ts";
import { memoryContext } from "../../../support/memory-context.ts";

test.each([
  [true, "copying\nstopped at 0 B; the same command goes on from there\n"],
  [false, "copying\nstopped at 0 B\n"],
])("a copy that was stopped says whether the same command goes on: %p", async (resumes, words) => {
  const context = memoryContext({});
  const options = { title: "copying", quiet: false, json: false, dryRun: false, resumes };
  await new CopyReport(context, options).stopped();
  expect(context.err()).toBe(words);
});
