import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseStrictJson, StrictJsonError } from "../../src/fly/strict-json.ts";
import { seeded } from "../support/seed.ts";

const bounds = { depthMax: 4, membersMax: 64 };

function parse(text: string): unknown {
  return parseStrictJson(new TextEncoder().encode(text), bounds);
}

describe("parseStrictJson", () => {
  const refused = [
    '{"a":1,"a":1}',
    String.raw`{"a":1,"\u0061":2}`,
    '{"x":{"a":1,"a":2}}',
    '[{"a":1,"b":[],"a":2}]',
    String.raw`{"a\"":1,"a\"":2}`,
    '{"__proto__":1,"__proto__":2}',
    '{ "a" : 1 , "a" : 2 }',
    "[[[[[]]]]]",
    '{"a":[[[[]]]]}',
    "\uFEFF{}",
    "",
    "{",
    '{"a":1}}',
    '"\\',
    `[${"1,".repeat(200)}1]`,
  ];
  for (const text of refused) {
    test(`refuses ${text.slice(0, 40)}`, () => {
      expect(() => parse(text)).toThrow(StrictJsonError);
    });
  }

  test("refuses bytes that are not UTF-8", () => {
    expect(() => parseStrictJson(Uint8Array.of(0x22, 0xff, 0x22), bounds)).toThrow(StrictJsonError);
  });

  const taken = [
    '{"a":{"a":1},"b":{"a":1}}',
    '[{"a":1},{"a":1}]',
    '{"a":"a","b":"a"}',
    '["a","a"]',
    '{"a":":","b":",{}[]"}',
    String.raw`{"\\":1,"\\\\":2}`,
    "[[[[]]]]",
    '"{{{{{{"',
  ];
  for (const text of taken) {
    test(`takes ${text}`, () => {
      expect(parse(text)).toEqual(JSON.parse(text));
    });
  }

  test("gives what JSON.parse gives, for any value without a name twice", () => {
    const property = fc.property(fc.jsonValue({ maxDepth: 3 }), (value) => {
      const bytes = new TextEncoder().encode(JSON.stringify(value));
      expect(parseStrictJson(bytes, { depthMax: 10, membersMax: 10_000 })).toEqual(
        JSON.parse(JSON.stringify(value)),
      );
    });
    fc.assert(property, seeded(500));
  });

  test("gives a value or a StrictJsonError for arbitrary text", () => {
    const text = fc.stringMatching(/^[{}[\],:"\\a1 ]{0,30}$/);
    const property = fc.property(text, (words) => {
      try {
        expect(parse(words)).toEqual(JSON.parse(words));
      } catch (error) {
        expect(error).toBeInstanceOf(StrictJsonError);
      }
    });
    fc.assert(property, seeded(5000));
  });
});
