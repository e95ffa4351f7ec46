import { expect, test } from "bun:test";
import fc from "fast-check";
import { EscapeKeys, type EscapeOutput } from "../../../src/roles/client/escape-keys.ts";
import { seeded } from "../../support/seed.ts";

function push(...keys: string[]): string[] {
  const escapes = new EscapeKeys();
  return keys.flatMap((text) => escapes.push(Buffer.from(text)).map(show));
}

function show(output: EscapeOutput): string {
  return output.kind === "bytes" ? Buffer.from(output.bytes).toString() : `<${output.action}>`;
}

test.each([
  [["~."], ["<leave>"]],
  [["ls\r~."], ["ls\r", "<leave>"]],
  [
    ["ls\r", "~", "."],
    ["ls\r", "<leave>"],
  ],
  [["~?"], ["<help>"]],
  [["~s~r~#"], ["<status>", "<retry>", "<forwards>"]],
  [["~~"], ["~"]],
  [["~~."], ["~."]],
  [["a~."], ["a~."]],
  [["~x"], ["~x"]],
  [["~\r~."], ["~\r", "<leave>"]],
  [["echo ~.\r"], ["echo ~.\r"]],
])("%j gives %j", (keys, expected) => {
  expect(push(...keys)).toEqual(expected);
});

test("what is no escape passes through unchanged, however it is cut", () => {
  const typed = fc.stringMatching(/^[a-z~.?\r\n]{0,40}$/);
  fc.assert(
    fc.property(typed, fc.array(fc.nat(40)), (text, cuts) => {
      const whole = push(text).join("|");
      const points = [0, ...cuts.filter((cut) => cut < text.length), text.length];
      points.sort((a, b) => a - b);
      const pieces = points.slice(1).map((end, index) => text.slice(points[index], end));
      expect(
        push(...pieces)
          .join("|")
          .replaceAll("|", ""),
      ).toBe(whole.replaceAll("|", ""));
      if (!/(^|[\r\n])~/.test(text) && !text.includes("~")) expect(whole).toBe(text);
    }),
    seeded(200),
  );
});
