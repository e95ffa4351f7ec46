import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expandGlob } from "../../../src/system/copy/source-root.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "fly-vault-"));
  mkdirSync(join(folder, "logs"));
  for (const name of ["b", "a", ".hidden", "x*", "xy", "logs/1"]) writeFileSync(at(name), "");
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

test("a pattern leads to what matches, in order, and a name that is there comes first", () => {
  expect(matches("?")).toEqual(["a", "b"]);
  expect(matches("x*")).toEqual(["x*"]);
  expect(matches("x[y]")).toEqual(["xy"]);
  expect(matches("l*/1")).toEqual(["logs/1"]);
  expect(matches("l*/")).toEqual(["logs/"]);
  expect(matches("none*")).toEqual(["none*"]);
});

test("a pattern finds names that are no text, as they are", () => {
  const name = Buffer.concat([Buffer.from(`${folder}/odd-`), Buffer.of(0xff, 0xe4)]);
  writeFileSync(name, "");
  expect(expandGlob(Buffer.from(at("odd-*")))).toEqual([name]);
  expect(expandGlob(Buffer.from(at("odd-??")))).toEqual([name]);
});

function at(name: string): string {
  return join(folder, name);
}

function matches(pattern: string): string[] {
  const found = expandGlob(Buffer.from(`${folder}/${pattern}`));
  return found.map((path) => path.toString().slice(folder.length + 1));
}
