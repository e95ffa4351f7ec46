import { expect, test } from "bun:test";
import { figureTable, markdownTable, shown } from "../../../bench/harness/table.ts";

test("a table has columns of one width, words to the left and numbers to the right", () => {
  expect(
    markdownTable(
      ["what", "ms"],
      [
        ["start", "7"],
        ["a", "1234"],
      ],
    ),
  ).toBe(
    ["| what  |   ms |", "| ----- | ---: |", "| start |    7 |", "| a     | 1234 |"].join("\n"),
  );
});

test("figures are shown beside goal and verdict", () => {
  const table = figureTable([
    {
      row: "start",
      what: "start of the client",
      unit: "ms",
      better: "lower",
      ours: [50],
      peer: { name: "ssh", values: [25] },
      goal: { of: "value", limit: 40 },
    },
    {
      row: "resume",
      what: "first output",
      unit: "ms",
      better: "lower",
      ours: [100],
      peer: { name: "mosh", missing: "not installed" },
      goal: { of: "ratio", limit: 1 },
    },
  ]);
  const cells = table.split("\n").map((line) => line.split("|").map((cell) => cell.trim()));
  expect(cells[2]).toEqual([
    "",
    "start",
    "start of the client",
    "50.0 ms",
    "ssh",
    "25.0 ms",
    "2.00",
    "≤ 40 ms",
    "not met",
    "",
  ]);
  expect(cells[3]).toEqual([
    "",
    "resume",
    "first output",
    "100 ms",
    "mosh",
    "not installed",
    "–",
    "≤ 1",
    "skipped",
    "",
  ]);
});

test("numbers are shown with three digits that count", () => {
  expect([0, 0.123, 1.5, 12.34, 123.4, 98_765, Number.NaN].map(shown)).toEqual([
    "0",
    "0.12",
    "1.50",
    "12.3",
    "123",
    "98765",
    "–",
  ]);
});
