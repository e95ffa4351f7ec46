import { expect, test } from "bun:test";
import { UsageError } from "../../../../src/cli/usage-error.ts";
import { parseOperand, parseOperands } from "../../../../src/roles/client/files/cp-operands.ts";

test("what has a colon before its first slash is in a vault", () => {
  expect(parseOperand("dev:a/b")).toEqual({ kind: "remote", vault: "dev", path: "a/b" });
  expect(parseOperand("dev:")).toEqual({ kind: "remote", vault: "dev", path: "." });
  expect(parseOperand(":a:b")).toEqual({ kind: "remote", vault: undefined, path: "a:b" });
  expect(parseOperand("./a:b")).toEqual({ kind: "local", path: "./a:b" });
  expect(parseOperand("/x/a:b")).toEqual({ kind: "local", path: "/x/a:b" });
  expect(parseOperand("-")).toEqual({ kind: "standard" });
});

test("one side is in a vault, the other here", () => {
  expect(parseOperands(["a", "b", "dev:c"])).toEqual({
    direction: "upload",
    vault: "dev",
    sources: ["a", "b"],
    destination: "c",
    standard: false,
  });
  expect(parseOperands(["dev:a", "-"])).toMatchObject({ direction: "download", standard: true });
  for (const words of [
    ["a", "b"],
    ["dev:a", "x:b", "c"],
    ["dev:a", "b", "c"],
    ["-", "a", "dev:b"],
    ["", "dev:a"],
  ])
    expect(() => parseOperands(words)).toThrow(UsageError);
});
