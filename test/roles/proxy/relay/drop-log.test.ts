import { expect, test } from "bun:test";
import { DropLog } from "../../../../src/roles/proxy/relay/drop-log.ts";

test("each cause is told with what is new, and only then", () => {
  const lines: unknown[] = [];
  const log = new DropLog((level, event, fields) => lines.push([level, event, fields]));
  log.write({ "bad-tag": 0, flows: 3 });
  log.write({ "bad-tag": 7, flows: 3 });
  log.write({ "bad-tag": 7, flows: 3 });
  expect(lines).toEqual([
    ["info", "dropped", { cause: "flows", datagrams: 3 }],
    ["info", "dropped", { cause: "bad-tag", datagrams: 7 }],
  ]);
});

test("of many mistakes the first is told", () => {
  const lines: unknown[] = [];
  const log = new DropLog((level, event, fields) =>
    lines.push([level, event, fields?.["because"]]),
  );
  for (const message of ["one", "two"]) log.mistake(new TypeError(message));
  log.write({});
  log.write({});
  log.mistake("text");
  log.write({});
  expect(lines).toEqual([
    ["error", "mistake", "one"],
    ["error", "mistake", "something that is no error was thrown"],
  ]);
});
