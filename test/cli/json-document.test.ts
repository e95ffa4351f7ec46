import { expect, test } from "bun:test";
import fc from "fast-check";
import { jsonDocument, jsonText } from "../../src/cli/json-document.ts";
import { printable } from "../../src/cli/printable.ts";
import { seeded } from "../support/seed.ts";

test("what others named moves no cursor and turns no text, and reads the same", () => {
  const words = "\u001b[31m \u007f \u009b31m \u202Eexe.txt \u2066 \u2028 é 漢";
  const text = jsonDocument("sessions", [{ name: words }]);
  expect(text).not.toMatch(/[\p{Cc}\p{Cf}\u2028]./u);
  expect(JSON.parse(text)).toEqual({
    schema: "fly-vault/sessions",
    version: 1,
    data: [{ name: words }],
  });
  expect(text).toContain("é 漢");
  expect(jsonText([1, "\u0085"], 2)).toBe('[\n  1,\n  "\\u0085"\n]');
});

test("what a terminal would act on is escaped, and says the same", () => {
  const hostile = "\u009B2J\u202Eabc\u200B\u{E0001}\u2028\u007F";
  const text = jsonDocument("x", hostile);
  expect(text).toMatch(/^[\x20-\x7E]+\n$/);
  expect(JSON.parse(text)).toMatchObject({ schema: "fly-vault/x", data: hostile });
  const property = fc.property(fc.jsonValue(), (value) => {
    expect(JSON.parse(jsonText(value))).toEqual(JSON.parse(JSON.stringify(value)));
  });
  fc.assert(property, seeded(200));
});

test("words of others on one line", () => {
  expect(printable("a\u001B[2J\nb\u061Cc\u200Bd\u2028e\u202Ef")).toBe("a [2J b c d e f");
});
