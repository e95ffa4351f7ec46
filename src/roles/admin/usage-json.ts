import * as v from "valibot";
import { documentSchema, jsonCount, type JsonOutputs, jsonTime } from "../../cli/json-outputs.ts";
import { usageShape } from "./usage-shape.ts";

/** What is not known, or empty, is left out. */
const fact = {
  machine_id: v.string(),
  state: v.string(),
  region: v.optional(v.string()),
  instance_id: v.optional(v.string()),
  started_at: v.optional(jsonTime),
  stopped_at: v.optional(jsonTime),
  deleted_at: v.optional(jsonTime),
  created_at: v.optional(jsonTime),
  updated_at: v.optional(jsonTime),
  metadata: v.optional(v.record(v.string(), v.string())),
  volumes: v.optional(
    v.array(
      v.object({
        volume_id: v.string(),
        name: v.optional(v.string()),
        mount_path: v.optional(v.string()),
        size_gib: v.number(),
      }),
    ),
  ),
};

const { region: _, volumes: __, ...shape } = usageShape.entries;

const full = v.object({
  ...fact,
  ...shape,
  state_since: v.nullable(jsonTime),
  is_estimated: v.boolean(),
});

const interval = v.object({
  machine_id: v.string(),
  state: v.string(),
  from: jsonTime,
  to: jsonTime,
  duration_ms: jsonCount,
  is_ongoing: v.boolean(),
  is_estimated: v.boolean(),
  ...usageShape.entries,
});

/** What `tenant usage-facts` prints; docs/usage-facts.schema.json says more of it. */
export const usageOutputs: JsonOutputs = {
  "usage-facts": {
    from: ["tenant usage-facts"],
    kind: "document",
    schema: v.union([
      v.array(v.object(fact)),
      documentSchema(
        "usage-facts",
        v.object({
          app: v.string(),
          observed_at: jsonTime,
          since: jsonTime,
          until: jsonTime,
          facts: v.array(full),
          intervals: v.array(interval),
        }),
      ),
    ]),
  },
};
