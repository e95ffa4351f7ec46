import * as v from "valibot";
import { remoteErrorCodes, RemoteError } from "../../../protocol/errors.ts";

/**
 * What the unpacking child says on descriptor 3: one JSON document a line, progress while it works,
 * then exactly one `done` or `refused`.
 */
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const text = v.string();

export const reportSchema = v.variant("type", [
  v.object({
    type: v.literal("progress"),
    phase: v.picklist(["compare", "unpack", "sync"]),
    received_bytes: count,
    entries: count,
    written_bytes: count,
  }),
  /** Of a recipe, in base64. */
  v.object({ type: v.literal("lacking"), pieces: text }),
  v.object({
    type: v.literal("done"),
    sha256: text,
    received_bytes: count,
    entries: count,
    written_bytes: count,
    skipped: v.array(text),
  }),
  v.object({
    type: v.literal("refused"),
    code: v.picklist(remoteErrorCodes),
    message: text,
    hint: v.optional(text),
  }),
]);

export type Report = v.InferOutput<typeof reportSchema>;

/** Of a child that makes no files. */
export const nothingMade: Report = {
  type: "done",
  sha256: "",
  received_bytes: 0,
  entries: 0,
  written_bytes: 0,
  skipped: [],
};

/** Throws `RemoteError` "internal": our own child said something we do not know. */
export function parseReport(line: string): Report {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    value = undefined;
  }
  const result = v.safeParse(reportSchema, value);
  if (result.success) return result.output;
  throw unreadable();
}

export function unreadable(): RemoteError {
  return new RemoteError("internal", "The unpacking process sent a report that cannot be read");
}
