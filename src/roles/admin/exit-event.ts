import * as v from "valibot";
import type { FlyMachine } from "../../fly/machine-shape.ts";

const eventShape = v.looseObject({
  type: v.string(),
  source: v.optional(v.string()),
  timestamp: v.number(),
  request: v.optional(v.unknown()),
});
const exitShape = v.looseObject({
  exit_event: v.looseObject({
    exit_code: v.nullish(v.number()),
    guest_exit_code: v.nullish(v.number()),
    guest_signal: v.nullish(v.union([v.string(), v.number()])),
    signal: v.nullish(v.union([v.string(), v.number()])),
    oom_killed: v.nullish(v.boolean()),
    requested_stop: v.nullish(v.boolean()),
  }),
});

/**
 * How the machine ended since somebody last made, changed or started it, in words: "exit code 3".
 * Undefined if it did not, or because it was asked to.
 */
export function lastExit(machine: FlyMachine): string | undefined {
  const rows: readonly unknown[] = Array.isArray(machine["events"]) ? machine["events"] : [];
  const events = rows.filter((row) => v.is(eventShape, row));
  const changes = events.filter(
    ({ type, source }) =>
      ["launch", "update"].includes(type) || (type === "start" && source === "user"),
  );
  const sinceMs = Math.max(0, ...changes.map(({ timestamp }) => timestamp));
  const exit = events
    .filter(({ type, timestamp }) => type === "exit" && timestamp >= sinceMs)
    .toSorted((a, b) => b.timestamp - a.timestamp)
    .map(({ request }) => (v.is(exitShape, request) ? request.exit_event : {}))
    .find((each) => !("requested_stop" in each) || each.requested_stop !== true);
  return exit && exitWords(exit);
}

function exitWords(exit: Partial<v.InferOutput<typeof exitShape>["exit_event"]>): string {
  if (exit.oom_killed === true) return "out of memory";
  const signal = exit.guest_signal ?? exit.signal;
  if (typeof signal === "string" && signal !== "") return `signal ${signal}`;
  if (typeof signal === "number" && signal > 0) return `signal ${signal}`;
  const code = exit.exit_code ?? exit.guest_exit_code;
  return code === null || code === undefined ? "nobody saw how" : `exit code ${code}`;
}
