import { expect, test } from "bun:test";
import { PathTable } from "../../../../src/roles/init/provision/gather/path-table.ts";

const path = (length: number, byte = 0x61): Buffer => Buffer.alloc(length, byte);

test("paths are found by their numbers, through many blocks of them", () => {
  const table = new PathTable(16_000_000);
  const paths = Array.from({ length: 3000 }, (_, index) => path(1 + ((index * 97) % 4095), index));
  const numbers = paths.map((each) => [table.add(each), table.add(each)]);
  expect(numbers).toEqual(paths.map((_, index) => [index + 1, index + 1]));
  for (const [index, each] of paths.entries())
    expect(Buffer.compare(table.of(index + 1), each)).toBe(0);
});

test("no more are taken than there is room for", () => {
  const table = new PathTable(100);
  expect(table.add(path(99))).toBeUndefined();
  expect(table.add(path(48))).toBe(1);
  expect(table.add(path(49))).toBeUndefined();
  expect(table.add(path(48, 0x62))).toBe(2);
  expect(Buffer.from(table.of(1)).equals(path(48))).toBe(true);
  expect(() => table.of(3)).toThrow(RangeError);
});
