import { expect, test } from "bun:test";
import { copyLimits } from "../../../src/system/copy/copy-limits.ts";
import { TakenTops } from "../../../src/system/copy/taken-tops.ts";

test("a name is taken once, but folders become one", () => {
  const tops = new TakenTops();
  expect(tops.take(Buffer.from("f"), "file", false)).toBe("free");
  expect(tops.take(Buffer.from("f"), "link", false)).toBe("taken");
  expect(tops.take(Buffer.of(0xff), "file", false)).toBe("free");
  expect(tops.take(Buffer.of(0xfe), "file", false)).toBe("free");
  expect(tops.take(Buffer.from("d"), "folder", false)).toBe("free");
  expect(tops.take(Buffer.from("d"), "folder", false)).toBe("free");
  expect(tops.take(Buffer.from("d"), "file", false)).toBe("taken");
  expect(tops.take(Buffer.from("d"), "folder", true)).toBe("taken");
});

test("so many names are remembered and no more", () => {
  const tops = new TakenTops();
  for (let name = 0; name <= copyLimits.topsRememberedMax; name++)
    expect(tops.take(Buffer.from(`${name}`), "file", false)).toBe("free");
  expect(tops.take(Buffer.from("0"), "file", false)).toBe("taken");
  const beyond = Buffer.from(`${copyLimits.topsRememberedMax}`);
  expect(tops.take(beyond, "file", false)).toBe("free");
});
