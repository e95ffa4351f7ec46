import { expect, test } from "bun:test";
import { momentName, partName } from "../../../src/system/copy/part-name.ts";

test("partName is the same each time and a name however long it was, momentName never the same", () => {
  const long = Buffer.alloc(255, "x");
  for (const name of [Buffer.from("a"), long, Buffer.from([0xff, 0xfe])]) {
    expect(partName(name)).toEqual(partName(name));
    expect(momentName(name)).not.toEqual(momentName(name));
    for (const made of [partName(name), momentName(name)]) {
      expect(made.length).toBeLessThanOrEqual(255);
      expect(made.toString("latin1")).toMatch(/^\..*\.part$/s);
    }
  }
  expect(partName(Buffer.concat([long.subarray(1), Buffer.from("y")]))).not.toEqual(partName(long));
});
