import { expect, test } from "bun:test";
import { isIP } from "node:net";
import fc from "fast-check";
import { seeded } from "../support/seed.ts";
import { ipFamily } from "../../src/system/ip-family.ts";

test.each([
  ["127.0.0.1", 4],
  ["255.255.255.255", 4],
  ["256.0.0.1", 0],
  ["01.2.3.4", 0],
  ["1.2.3", 0],
  ["1.2.3.4.", 0],
  ["1.2.3.4\n", 0],
  ["::", 6],
  ["::ffff:10.0.0.1", 6],
  ["::ffff:10.0.0.01", 0],
  ["2001:DB8::1", 6],
  ["1:2:3:4:5:6:7:8", 6],
  ["1:2:3:4:5:6:7:8:9", 0],
  ["1:2:3:4::1.2.3.4", 6],
  ["1.2.3.4::", 0],
  ["1:2:3:4:5:6:7::", 6],
  ["1:2:3:4:5:6:7:8::", 0],
  ["1:2:3:4:5:6:7:", 0],
  ["1::2::3", 0],
  ["fe80::1%eth0", 0],
  ["::1]/@[", 0],
  ["example.org", 0],
  ["", 0],
])("%p is of family %p", (host, family) => {
  expect<number>(ipFamily(host)).toBe(family);
});

test("of everything without a zone it says what node:net says", () => {
  const near = fc
    .array(fc.constantFrom(..."0129af:.:".split(""), "::", "255", "ffff", "10.0.0.1"), {
      maxLength: 16,
    })
    .map((parts) => parts.join(""));
  const host = fc.oneof(near, fc.ipV4(), fc.ipV6(), fc.string({ maxLength: 12 }));
  fc.assert(
    fc.property(host, (text) => {
      fc.pre(!text.includes("%"));
      const family: number = ipFamily(text);
      expect([text, family]).toEqual([text, isIP(text)]);
    }),
    seeded(20_000) as fc.Parameters<[string]>,
  );
});
