import { expect, test } from "bun:test";
import { check, cString, momentaryCString, openLibc, SystemError } from "../../src/system/libc.ts";

const libc = openLibc({
  close: { args: ["i32"], returns: "i32" },
  unlink: { args: ["ptr"], returns: "i32" },
});

function failure(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return undefined;
}

test("check throws SystemError with the call, errno, its name and the subject", () => {
  const path = cString("/nonexistent/file");
  const error = failure(() => check("unlink", () => libc.unlink(path), "/nonexistent/file"));
  expect(error).toBeInstanceOf(SystemError);
  expect(error).toMatchObject({
    name: "SystemError",
    syscall: "unlink",
    errno: 2,
    code: "ENOENT",
    message: "unlink /nonexistent/file: ENOENT",
  });
});

test("errno stays right under garbage collection", () => {
  const path = cString("/nonexistent/file");
  for (let round = 0; round < 20_000; round++) {
    if (round % 500 === 0) Bun.gc(true);
    expect(failure(() => check("unlink", () => libc.unlink(path)))).toMatchObject({ errno: 2 });
    expect(failure(() => check("close", () => libc.close(-1)))).toMatchObject({ errno: 9 });
  }
});

test("cString ends in zero, keeps raw bytes and refuses an inner zero", () => {
  expect([...cString("ä")]).toEqual([0xc3, 0xa4, 0]);
  expect([...cString(new Uint8Array([0xff, 0x2f]))]).toEqual([0xff, 0x2f, 0]);
  expect(() => cString("a\0b")).toThrow(TypeError);
});

test("momentaryCString is cString for one call, in one of two places, however long it is", () => {
  const [first, second] = [momentaryCString("longer"), momentaryCString("other", 1)];
  expect([upToZero(first), upToZero(second)].map(String)).toEqual(["longer", "other"]);
  expect(upToZero(momentaryCString("ab")).toString()).toBe("ab");
  for (const length of [4095, 4096, 10_000])
    expect(upToZero(momentaryCString("x".repeat(length)))).toHaveLength(length);
  expect(() => momentaryCString("a\0b")).toThrow(TypeError);
});

function upToZero(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.subarray(0, bytes.indexOf(0)));
}
