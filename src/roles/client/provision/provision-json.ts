import * as v from "valibot";
import { jsonCount, type JsonOutputs, resultSchema } from "../../../cli/json-outputs.ts";

/** What `provision --json` prints. */
export const provisionOutputs: JsonOutputs = {
  provision: {
    from: ["provision"],
    kind: "lines",
    schema: resultSchema("provision", {
      sha256: v.nullable(v.string()),
      entries: jsonCount,
      written_bytes: jsonCount,
      /** Of an upload: what went over the link, and how large the archive is. */
      sent_bytes: v.nullable(jsonCount),
      archive_bytes: v.nullable(jsonCount),
      /** What was in the archive and could not be made. */
      skipped: v.array(v.string()),
    }),
  },
};
