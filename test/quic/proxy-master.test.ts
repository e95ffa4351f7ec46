import { describe, expect, test } from "bun:test";
import {
  formatProxyMaster,
  parseProxyMasters,
  ProxyMasterError,
} from "../../src/quic/proxy-master.ts";

const one = { epoch: 3, master: new Uint8Array(32).fill(5) };
const other = { epoch: 4, master: Uint8Array.from({ length: 32 }, (_, at) => at * 7) };
const text = formatProxyMaster(one);

describe("masters as text", () => {
  test("one or two, with commas or on lines, the first to be used", () => {
    expect(text).toBe("fvp1_3_BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU");
    expect(parseProxyMasters(text)).toEqual([one]);
    const both = [other, one].map(formatProxyMaster);
    for (const between of [",", ", ", "\n", "\r\n", " \n,"])
      expect(parseProxyMasters(`\n${both.join(between)}\n`)).toEqual([other, one]);
  });

  test.each([
    ["", "is not fvp1_"],
    ["fvp1_8_" + "A".repeat(43), "is not fvp1_"],
    ["fvp1_1_" + "A".repeat(42), "is not fvp1_"],
    ["fvp1_1_" + "A".repeat(44), "is not fvp1_"],
    ["fvp1_1_" + "A".repeat(42) + "=", "is not fvp1_"],
    ["fva1_1_" + "A".repeat(43), "is not fvp1_"],
    ["fvp1_1_" + "A".repeat(42) + "B", "last character"],
    [`${text},`, "is not fvp1_"],
    [`${text},${text}`, "of one epoch"],
    [[1, 2, 3].map((epoch) => formatProxyMaster({ ...one, epoch })).join(","), "more than 2"],
  ])("what is none is refused without being shown: %s", (given, complaint) => {
    const error = (() => {
      try {
        return parseProxyMasters(given);
      } catch (thrown) {
        return thrown;
      }
    })();
    if (!(error instanceof ProxyMasterError)) throw new Error("no complaint");
    expect(error.message).toContain(complaint);
    expect(error.message).not.toMatch(/AAAA|BQUF/);
  });
});
