import { expect, test } from "bun:test";
import { quietLog } from "../../../../src/roles/proxy/broker/quiet-log.ts";

test("one line a second of each event; the next one says how many were left out", () => {
  const lines: unknown[] = [];
  let nowMs = 0;
  const log = quietLog(
    (level, event, fields) => lines.push([level, event, fields]),
    () => nowMs,
  );
  for (let line = 0; line < 100; line++) log("warn", "start-busy", { machine: "a" });
  log("info", "other");
  nowMs = 1000;
  log("warn", "start-busy", { machine: "b" });
  nowMs = 2000;
  log("warn", "start-busy");
  expect(lines).toEqual([
    ["warn", "start-busy", { machine: "a" }],
    ["info", "other", {}],
    ["warn", "start-busy", { machine: "b", left_out: 99 }],
    ["warn", "start-busy", {}],
  ]);
});
