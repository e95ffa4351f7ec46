import { expect, test } from "bun:test";
import { jsonDocument, jsonText } from "../../src/cli/json-document.ts";

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
