import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { readRegressions } from "../support/fuzz.ts";
import { targets } from "./targets.ts";

const page = readFileSync(new URL("../../docs/testing.md", import.meta.url), "utf8");
const rows = [...page.matchAll(/^\| ([^|]+?) +\| [^|]+\| (\d+) +\| (\d+|–) +\| [\d ]+\|$/gm)];

test("docs/testing.md has every target with its numbers", () => {
  const written = rows.map(([, name, runs, planned]) => `${name}: ${runs} of ${planned}`);
  const there = targets.map(
    ({ target: { name, runs, planned } }) => `${name}: ${runs} of ${planned ?? "–"}`,
  );
  expect(written.toSorted()).toEqual(there.toSorted());
});

test("no two targets have one name, and stored failures are of a target", () => {
  const names = targets.map(({ target }) => target.name);
  expect(new Set(names).size).toBe(names.length);
  const files = [...new Bun.Glob("*").scanSync({ cwd: `${import.meta.dir}/regressions` })];
  const expected = names.filter((name) => readRegressions(name).length > 0);
  expect(files.toSorted()).toEqual(
    expected.map((name) => `${name.replaceAll(" ", "-")}.hex`).toSorted(),
  );
});
