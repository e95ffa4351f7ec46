import * as v from "valibot";
import { jsonCount, type JsonOutputs, resultSchema } from "../../../cli/json-outputs.ts";

/** What `cp --json` prints. */
export const copyOutputs: JsonOutputs = {
  cp: {
    from: ["cp"],
    kind: "lines",
    schema: v.variant("type", [
      v.object({ type: v.literal("total"), files: jsonCount, bytes: jsonCount }),
      v.object({ type: v.literal("resuming"), path: v.string(), offset_bytes: jsonCount }),
      v.object({
        type: v.literal("file"),
        path: v.string(),
        size_bytes: jsonCount,
        outcome: v.picklist(["written", "same", "kept", "skipped"]),
        /** Of a file that was sent. */
        sha256: v.optional(v.string()),
      }),
      v.object({
        type: v.literal("failed"),
        path: v.string(),
        code: v.string(),
        message: v.string(),
      }),
      resultSchema("cp", {
        files: jsonCount,
        written: jsonCount,
        same: jsonCount,
        kept: jsonCount,
        failed: jsonCount,
        bytes: jsonCount,
        sent_bytes: jsonCount,
        resent_bytes: jsonCount,
        elapsed_ms: jsonCount,
        /** Of a single file that was sent. */
        sha256: v.optional(v.string()),
      }),
    ]),
  },
};
