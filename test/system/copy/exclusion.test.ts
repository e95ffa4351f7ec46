import { expect, test } from "bun:test";
import { Exclusion } from "../../../src/system/copy/exclusion.ts";

test("a pattern without a slash is about every name, one with a slash about the path below the top", () => {
  expect(excludes("*.o", "src/a.o")).toBe(true);
  expect(excludes("src/*.o", "src/a.o")).toBe(true);
  expect(excludes("/a.o", "src/a.o")).toBe(false);
  expect(excludes("/a.o", "a.o")).toBe(true);
  expect(excludes("**/x", "src/deep/x")).toBe(true);
  expect(excludes("src/", "src")).toBe(false);
  expect(new Exclusion(["src/"]).excludes(["src"], true)).toBe(true);
});

test("a ! in front means itself and turns nothing round", () => {
  expect(excludes("!a.o", "b.o")).toBe(false);
  expect(excludes("!a.o", "!a.o")).toBe(true);
  expect(excludes("/!src/x", "src/y")).toBe(false);
});

test("./ in front is the top itself", () => {
  expect(excludes("./src", "src")).toBe(true);
  expect(excludes("./src", "deep/src")).toBe(false);
});

function excludes(pattern: string, path: string): boolean {
  return new Exclusion([pattern]).excludes(path.split("/"), false);
}
