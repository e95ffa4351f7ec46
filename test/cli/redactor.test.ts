import { expect, test } from "bun:test";
import fc from "fast-check";
import { Redactor } from "../../src/cli/redactor.ts";
import { seeded } from "../support/seed.ts";

test.each([
  ["an access token", "x fvt1_abcDEF-123_4 y", "x [secret] y"],
  ["an admission key", "fva1_3_148e21ea7e46e8_QUJD", "[secret]"],
  ["an invite", "fly-vault://add/1/abc?x", "[secret]"],
  ["one of Fly's tokens", "FlyV1 fm2_lJPECAAA,fm2_lJPE", "[secret]"],
  ["evidence", "eyJhbGciOi.eyJpc3Mi.c2ln", "[secret]"],
  [
    "a password in an address",
    "https://me:hunter2@example.com/x",
    "https://[secret]@example.com/x",
  ],
  ["a short token on its line", 'access_token = "abc"\n', 'access_token = "[secret]"\n'],
  ["a key on its line", " admission_key='x' # old\n", ' admission_key="[secret]"\n'],
])("%s is taken out", (_, text, cleaned) => {
  const redactor = new Redactor();
  expect(redactor.clean(text)).toBe(cleaned);
  expect(redactor.count).toBe(1);
});

test("a secret that was told is taken out wherever it stands, and counted once", () => {
  const secret = fc.string({ minLength: 6, maxLength: 40 });
  const property = fc.property(secret, fc.string(), fc.string(), (word, before, after) => {
    const redactor = new Redactor();
    redactor.add(word);
    const cleaned = redactor.clean(`${before}${word}${after}${word}`);
    if (!"[secret]".includes(word))
      expect(cleaned.replaceAll("[secret]", "\0")).not.toContain(word);
  });
  fc.assert(property, seeded(500));
});

test.each([
  [
    "in an inline table",
    'a = { access_token = "short", x = 1 }',
    'a = { access_token = "[secret]", x = 1 }',
  ],
  ["behind dots", "vault.a.access_token = 'short' # c", 'vault.a.access_token = "[secret]" # c'],
])("a key %s is found", (_, text, cleaned) => {
  expect(new Redactor().clean(text)).toBe(cleaned);
});

test("one that holds the look of another, or another one, goes as a whole", () => {
  const redactor = new Redactor();
  for (const secret of ["correct fvt1_x horse", "battery", "battery staple"]) redactor.add(secret);
  expect(redactor.clean("<correct fvt1_x horse> <battery staple>")).toBe("<[secret]> <[secret]>");
});

test("what is no secret stays as it is", () => {
  const text = "app = 'dev-vaults' # fvt, https://example.com:443/a@b, eyJust.words";
  const redactor = new Redactor();
  expect(redactor.clean(text)).toBe(text);
  expect(redactor.count).toBe(0);
});
