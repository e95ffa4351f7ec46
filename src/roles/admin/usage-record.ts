import * as v from "valibot";
import { usageShape } from "./usage-shape.ts";

/**
 * A line of the usage journal, which is only ever added to. Times are milliseconds since 1970.
 *
 * - `app`: whose journal this is; the first line.
 * - `transition`: a machine came to be in a state. `estimated` where no event of Fly's said so.
 * - `shape`: what it costs by changed, at that time.
 * - `missing`, `found`: Fly did not list it any more, and did so again.
 * - `poll`: Fly was asked, and nothing had changed.
 */
const recordShape = v.variant("kind", [
  v.object({ kind: v.literal("app"), version: v.number(), app: v.string() }),
  v.object({
    kind: v.literal("transition"),
    machine: v.string(),
    state: v.picklist(["created", "started", "stopped", "suspended", "deleted"]),
    at: v.number(),
    estimated: v.optional(v.literal(true)),
  }),
  v.object({ kind: v.literal("shape"), machine: v.string(), at: v.number(), shape: usageShape }),
  v.object({ kind: v.picklist(["missing", "found"]), machine: v.string(), at: v.number() }),
  v.object({ kind: v.literal("poll"), at: v.number() }),
]);

export type UsageRecord = v.InferOutput<typeof recordShape>;

export type UsageState = Extract<UsageRecord, { kind: "transition" }>["state"];

export const journalVersion = 1;

export function encodeRecord(record: UsageRecord): string {
  return `${JSON.stringify(record)}\n`;
}

/** Undefined for a line that is cut short, or of a kind that is not known yet. */
export function decodeRecord(line: string): UsageRecord | undefined {
  if (line === "") return undefined;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  return v.is(recordShape, value) ? value : undefined;
}
