import { expect, test } from "bun:test";
import { readFileSync, readlinkSync } from "node:fs";
import { codeOf, dropProgramPages } from "../../src/system/program-pages.ts";

test("only what is executed and not written, of this program alone, is its code", () => {
  const maps = [
    "55d0c6200000-55d0c6600000 r--p 00000000 fe:00 133 /usr/bin/init",
    "55d0c6600000-55d0ca600000 r-xp 00400000 fe:00 133 /usr/bin/init",
    "55d0ca600000-55d0cb600000 rw-p 04400000 fe:00 133 /usr/bin/init",
    "55d0cb600000-55d0cb700000 rwxp 00000000 fe:00 133 /usr/bin/init",
    "7f3829a7b000-7f3869a7b000 r-xp 00000000 00:00 0 ",
    "7f3869a7b000-7f3869b7b000 r-xp 00000000 fe:00 44 /usr/lib/libc.so.6",
    "",
  ].join("\n");
  expect(codeOf("/usr/bin/init", maps)).toEqual([
    { start: 0x55d0_c660_0000n, end: 0x55d0_ca60_0000n },
  ]);
  const gone = maps.replaceAll("/usr/bin/init", "/usr/bin/init (deleted)");
  expect(codeOf("/usr/bin/init (deleted)", gone)).toHaveLength(1);
  expect(codeOf("", maps)).toEqual([]);
});

test("code that was dropped is not counted any more, and comes back when it is used", () => {
  const before = codeKb();
  dropProgramPages();
  const after = codeKb();
  expect(before).toBeGreaterThan(10_000);
  expect(after).toBeLessThan(before / 2);
  expect(JSON.parse(JSON.stringify({ still: ["here"] }))).toEqual({ still: ["here"] });
});

/** What of this program's code is in our memory. */
function codeKb(): number {
  const program = readlinkSync("/proc/self/exe");
  const [, ...areas] = readFileSync("/proc/self/smaps", "utf8").split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  return areas
    .filter((area) => / r-xp .*\n/.test(area) && area.split("\n")[0]?.endsWith(` ${program}`))
    .reduce((sum, area) => sum + Number(/^Rss:\s+(\d+)/m.exec(area)?.[1] ?? 0), 0);
}
