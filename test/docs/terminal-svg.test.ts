import { expect, test } from "bun:test";
import { styledRuns, terminalSvg } from "../../build/recordings/terminal-svg.ts";

test("styledRuns cuts a row where its look changes", () => {
  const runs = styledRuns("plain \u001b[1;31mred\u001b[0m → \u001b[7mend");
  expect(runs.map(({ column, text }) => [column, text])).toEqual([
    [0, "plain "],
    [6, "red"],
    [9, " → "],
    [12, "end"],
  ]);
  expect(runs.map(({ style }) => [style.bold, style.reversed])).toEqual([
    [false, false],
    [true, false],
    [false, false],
    [false, true],
  ]);
  expect(runs[1]?.style.colour).not.toBe(runs[0]?.style.colour);
});

test("terminalSvg is well-formed, has every screen, and is the same each time", () => {
  const svg = terminalSvg(["$ echo '<&>'\n\n", "second"], 20);
  expect(svg).toContain("&lt;&amp;&gt;");
  expect(svg.match(/<rect /g)).toHaveLength(2);
  expect(svg).toContain(">second</text>");
  expect(terminalSvg(["$ echo '<&>'\n\n", "second"], 20)).toBe(svg);
});
