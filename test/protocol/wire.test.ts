import { expect, test } from "bun:test";
import fc from "fast-check";
import { WireError } from "../../src/protocol/errors.ts";
import { Reader, Writer } from "../../src/protocol/wire.ts";
import { seeded } from "../support/seed.ts";

const boundaries = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 24 - 1, 2 ** 31, 2 ** 32 - 1];

test("integers are big-endian", () => {
  const bytes = new Writer(0).u8(1).u16(0x0203).u24(0x04_05_06).u32(0x0708_090a).u64(0x0b).finish();
  expect(Buffer.from(bytes).toString("hex")).toBe("0102030405060708090a000000000000000b");
});

test("integers round trip in every width that holds them, and are refused in the others", () => {
  for (const value of boundaries) {
    for (const [name, bits] of [
      ["u8", 8],
      ["u16", 16],
      ["u24", 24],
      ["u32", 32],
      ["u64", 53],
    ] as const) {
      const write = (): Uint8Array => new Writer(1)[name](value).finish();
      if (value >= 2 ** bits) expect(write).toThrow(RangeError);
      else expect(new Reader(write(), "Test")[name]()).toBe(value);
    }
  }
});

test("u64 holds every safe integer and no other", () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), (value) => {
      const bytes = new Writer().u64(value).finish();
      expect(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0)).toBe(BigInt(value));
      expect(new Reader(bytes, "Test").u64()).toBe(value);
    }),
    seeded(1000),
  );
  for (const value of [-1, 0.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY])
    expect(() => new Writer().u64(value)).toThrow(RangeError);
  for (const value of [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value);
    expect(() => new Reader(bytes, "Test").u64()).toThrow(WireError);
  }
});

test("Reader names what is cut short or too long", () => {
  expect(() => new Reader(Uint8Array.of(1), "Hello").u16()).toThrow("Hello is cut short");
  expect(() => new Reader(Uint8Array.of(1, 2), "Hello").bytes(3)).toThrow(WireError);
  const reader = new Reader(Uint8Array.of(1, 2, 3), "Hello");
  reader.u8();
  expect(() => reader.finish()).toThrow("Hello has 2 bytes too many");
  expect([...reader.rest()]).toEqual([2, 3]);
  reader.finish();
});
