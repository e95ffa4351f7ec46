import * as v from "valibot";
import { limits } from "./limits.ts";
import { durationMs, text } from "./message-fields.ts";

/** Requests about the machine itself and its files. */

/** Bytes for nothing but to see how fast they come; both ends count for so long. */
export const speed = v.object({
  type: v.literal("speed"),
  direction: v.picklist(["down", "up"]),
  duration_ms: v.pipe(durationMs, v.maxValue(limits.speedMsMax)),
});

/** The reply comes from the process that serves the stream: file-message.ts. */
export const files = v.object({
  type: v.literal("files"),
  /** By name or number; root where absent. */
  user: v.optional(text),
});

/** The last lines of init's own log. */
export const initLog = v.object({
  type: v.literal("init-log"),
  lines: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(limits.logLinesMax)),
});

export const report = v.object({ type: v.literal("report") });

export const powerOff = v.object({ type: v.literal("power-off") });
