import * as v from "valibot";
import { documentSchema, jsonCount, type JsonOutputs } from "../../../cli/json-outputs.ts";

/** What the commands about this program's own version print with `--json`. */
export const updateOutputs: JsonOutputs = {
  version: {
    from: ["version"],
    kind: "document",
    schema: documentSchema(
      "version",
      v.object({
        version: v.string(),
        platform: v.string(),
        /** The others are null without --check. */
        newest: v.nullable(v.string()),
        is_newest: v.nullable(v.boolean()),
        has_build_for_platform: v.nullable(v.boolean()),
        signature: v.nullable(v.picklist(["checked", "no-key"])),
      }),
    ),
  },
  "self-update": {
    from: ["self-update"],
    kind: "document",
    schema: documentSchema(
      "self-update",
      v.object({
        from: v.string(),
        to: v.string(),
        changed: v.boolean(),
        path: v.string(),
        old_links: jsonCount,
      }),
    ),
  },
};
