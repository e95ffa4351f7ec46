import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { addressBytes, addressText, isLoopback } from "../../src/system/ip-address.ts";
import { seeded } from "../support/seed.ts";

const hex = (host: string): string => Buffer.from(addressBytes(host)).toString("hex");

describe("addresses as bytes", () => {
  test.each([
    ["0.0.0.0", "00000000"],
    ["203.0.113.9", "cb007109"],
    ["255.255.255.255", "ffffffff"],
    ["::", "0".repeat(32)],
    ["::1", "0".repeat(31) + "1"],
    ["fdaa::", "fdaa" + "0".repeat(28)],
    ["fdaa:0:1:a7b:2:3:4:5", "fdaa000000010a7b0002000300040005"],
    ["2001:DB8::8:800:200C:417A", "20010db80000000000080800200c417a"],
    ["::ffff:10.1.2.3", "00000000000000000000ffff0a010203"],
    ["64:ff9b::10.1.2.3", "0064ff9b00000000000000000a010203"],
    ["1:2:3:4:5:6:7::", "00010002000300040005000600070000"],
  ])("%s is %s", (host, bytes) => {
    expect(hex(host)).toBe(bytes);
  });

  test.each([
    "",
    "localhost",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.4 ",
    "fe80::1%eth0",
    ":::",
    "1::2::3",
    "12345::",
    "1:2:3:4:5:6:7:8:9",
    "[::1]",
    "::1.2.3",
    "fly-global-services",
  ])("%p is none", (host) => {
    expect(() => addressBytes(host)).toThrow(RangeError);
  });
});

describe("addresses as text", () => {
  test.each([
    ["00000000000000000000000000000000", "::"],
    ["00000000000000000000000000000001", "::1"],
    ["20010db8000000000001000000000001", "2001:db8::1:0:0:1"],
    ["20010db8000000010001000100010001", "2001:db8:0:1:1:1:1:1"],
    ["fdaa000000010a7b0002000300040005", "fdaa:0:1:a7b:2:3:4:5"],
  ])("%s is written as RFC 5952 has it: %s", (bytes, text) => {
    expect(addressText(Buffer.from(bytes, "hex"))).toBe(text);
  });

  test("bytes come back as they were", () => {
    const bytes = fc.oneof(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.array(fc.constantFrom(0, 0, 0, 1, 255), { minLength: 16, maxLength: 16 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
    );
    const property = fc.property(bytes, (given) => {
      expect([...addressBytes(addressText(Uint8Array.from(given)))]).toEqual([...given]);
    });
    fc.assert(property, seeded(3000));
  });
});

test.each([
  ["127.0.0.1", true],
  ["127.255.3.4", true],
  ["::1", true],
  ["::ffff:127.0.0.1", true],
  ["128.0.0.1", false],
  ["::2", false],
  ["::ffff:10.0.0.1", false],
  // Names, whatever they lead to.
  ["localhost", false],
  ["127.0.0.1.example.com", false],
  ["127.1", false],
])("%s is loopback: %p", (host, expected) => {
  expect(isLoopback(host)).toBe(expected);
});
