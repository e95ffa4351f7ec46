import * as v from "valibot";
import {
  checksSchema,
  documentSchema,
  jsonCount,
  type JsonOutputs,
  jsonTime,
} from "../../cli/json-outputs.ts";

const word = v.nullable(v.string());

/** What the commands about an app as a whole print with `--json`. */
export const fleetOutputs: JsonOutputs = {
  doctor: { from: ["doctor"], kind: "lines", schema: checksSchema("doctor") },
  orphans: {
    from: ["orphans", "tenant orphans"],
    kind: "document",
    schema: documentSchema(
      "orphans",
      v.array(
        v.object({
          kind: v.string(),
          id: v.string(),
          name: word,
          tenant_id: word,
          machine_id: word,
          created_at: v.nullable(jsonTime),
          age_ms: v.nullable(jsonCount),
          monthly_gib: v.nullable(v.number()),
          leased_until: v.nullable(jsonTime),
          is_deletable: v.boolean(),
        }),
      ),
    ),
  },
  "proxy-key": {
    from: ["proxy-key show"],
    kind: "document",
    schema: documentSchema(
      "proxy-key",
      v.array(
        v.object({
          epoch: jsonCount,
          fingerprint: v.string(),
          use: v.picklist(["current", "older"]),
        }),
      ),
    ),
  },
};
