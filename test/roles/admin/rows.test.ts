import { expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { apiRows, inputRows, rolloutRows, type Row, usageRows } from "./rows.ts";

const tests = resolve(import.meta.dir, "../..");

/** All tests of a file or folder as one text. */
function sourceOf(where: string): string {
  const path = join(tests, where);
  if (statSync(path).isFile()) return readFileSync(path, "utf8");
  const names = readdirSync(path, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".test.ts"),
  );
  return names.map((name) => readFileSync(join(path, name), "utf8")).join("\n");
}

function unproved(rows: readonly Row[]): string[] {
  // Line breaks are where the formatter wants them.
  const sources = new Map(rows.map(({ where }) => [where, sourceOf(where)]));
  return rows
    .filter(({ where, shownBy }) => sources.get(where)?.includes(shownBy) !== true)
    .map(({ what, where, shownBy }) => `${what}: no test of ${where} has ${shownBy}`);
}

test.each([
  ["Fly's API", apiRows, 54],
  ["rollouts", rolloutRows, 23],
  ["what people write", inputRows, 61],
  ["the usage facts' endpoint", usageRows, 15],
])("every row of %s has its test", (_, rows, count) => {
  expect(unproved(rows)).toEqual([]);
  expect(rows.length).toBeGreaterThanOrEqual(count);
  expect(new Set(rows.map(({ what }) => what)).size).toBe(rows.length);
});
