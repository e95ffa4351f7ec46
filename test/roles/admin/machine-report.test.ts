import { expect, test } from "bun:test";
import { MachinesApiError } from "../../../src/fly/api-error.ts";
import type { ExecResult } from "../../../src/fly/machine-shape.ts";
import { lastLogLines, openSessions } from "../../../src/roles/admin/machine-report.ts";
import { rolloutLimits } from "../../../src/roles/admin/rollout-limits.ts";
import { rejection } from "../../support/rejection.ts";

/** A machine whose `init` is in somebody else's hands. */
const saying = (more: Partial<ExecResult>) => ({
  executeIn: async (): Promise<ExecResult> => ({
    exit_code: 0,
    exit_signal: 0,
    stdout: "",
    stderr: "",
    ...more,
  }),
});

test("what is no count of sessions is none: nothing, words, lies, and what has no end", async () => {
  expect(await openSessions(saying({ stdout: '{"open":3,"more":"x"}\n' }), "m")).toBe(3);
  const lies = ["", "null", "3", '{"open":"3"}', '{"open":-1}', '{"open":1.5}', '{"open":1e999}'];
  const large = ['{"open":9007199254740993}', `{"open":${rolloutLimits.openSessionsMax + 1}}`];
  const deep = "[".repeat(100_000);
  const poison = '{"__proto__":{"open":0}}';
  for (const stdout of [...lies, ...large, deep, poison, '{"open":0}{"open":0}'])
    expect(await rejection(openSessions(saying({ stdout }), "m"))).toMatchObject({
      kind: "refused",
    });
  for (const end of [{ exit_code: 1 }, { exit_signal: 9 }])
    expect(
      await rejection(openSessions(saying({ stdout: '{"open":0}', ...end }), "m")),
    ).toBeInstanceOf(MachinesApiError);
});

test("of what went wrong one line is quoted, and nothing in it can move a terminal", async () => {
  const stderr = `\u001B]0;x\u0007\u009B2J\u202Eevil${"y".repeat(2_000)}\nsecond`;
  const error = await rejection(openSessions(saying({ exit_code: 1, stderr }), "m"));
  expect(error.message).toContain("evil");
  expect(error.message).not.toMatch(/[\p{Cc}\u202E]|second/u);
  expect(error.message.length).toBeLessThan(rolloutLimits.wordsMax + 100);
  const mute = await rejection(openSessions(saying({ exit_code: 1 }), "m"));
  expect(mute.message).toContain("no reason given");
});

test("of a log come the last lines, no longer than one is, without control characters", async () => {
  const stdout = `${"first\n".repeat(5_000)}${"z".repeat(10_000)}\n\u001B[2Jend\u009B\r\n`;
  const lines = await lastLogLines(saying({ stdout }), "m");
  expect(lines.length).toBe(rolloutLimits.logLinesShown);
  expect(lines.at(-1)).toBe(" [2Jend  ");
  expect(lines.at(-2)).toBe("z".repeat(rolloutLimits.wordsMax));
  expect(await lastLogLines(saying({ exit_code: 127 }), "m")).toEqual([]);
});
