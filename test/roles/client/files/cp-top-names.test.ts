import { expect, test } from "bun:test";
import { topNames } from "../../../../src/roles/client/files/cp-top-names.ts";

const file = (name: string) => ({ name: Buffer.from(name), kind: "file" as const });
const folder = (name: string) => ({ name: Buffer.from(name), kind: "folder" as const });

test("what comes must be what was asked for, by name and kind", () => {
  const one = topNames(["logs/a.txt", "b*"], false);
  expect(["a.txt", "b", "bc", "c", "logs"].map((name) => one(file(name)))).toEqual([
    true,
    true,
    true,
    false,
    false,
  ]);
  expect(one(folder("a.txt"))).toBe(false);
  expect(topNames(["logs/"], true)(folder("logs"))).toBe(true);
  expect(topNames(["."], true)(folder("."))).toBe(true);
  expect(topNames(["logs"], true)(folder("."))).toBe(false);
});

const takes = (pattern: string, name: string): boolean => topNames([pattern], false)(file(name));

test("a pattern is a shell's: hidden names only where it says so, no braces, nothing turned round", () => {
  expect(takes("*", ".bashrc")).toBe(false);
  expect(takes("?bashrc", ".bashrc")).toBe(false);
  expect(takes("work/[.]*", ".bashrc")).toBe(false);
  expect(takes(".b*", ".bashrc")).toBe(true);
  expect(takes("!a*", "anything")).toBe(false);
  expect(takes("!a*", "!ab")).toBe(true);
  expect(takes("{a*,b}", "b")).toBe(false);
  expect(takes("{a*,b}", "{ax,b}")).toBe(true);
  expect(takes("[!a]*", "b")).toBe(true);
});
