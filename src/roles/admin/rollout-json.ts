import * as v from "valibot";
import { jsonCount, type JsonOutputs, resultSchema } from "../../cli/json-outputs.ts";

const word = v.nullable(v.string());
const ids = v.array(v.string());
const trouble = { machine_id: v.string(), reason: v.string() };

const plan = v.object({
  type: v.literal("plan"),
  app: v.string(),
  image: v.string(),
  machines: v.array(
    v.object({
      machine_id: v.string(),
      tenant_id: word,
      region: word,
      canary: v.boolean(),
      stopped: v.boolean(),
    }),
  ),
  skipped: ids,
  left_out: ids,
  unfinished: ids,
  concurrency: jsonCount,
  unavailable_max: jsonCount,
  soak_ms: jsonCount,
  start_timeout_ms: jsonCount,
  health_timeout_ms: jsonCount,
  handshake: v.boolean(),
  no_handshake_because: word,
  unchecked: ids,
  drain_ms: v.nullable(jsonCount),
  open_sessions: v.array(v.object({ machine_id: v.string(), sessions: jsonCount })),
  sessions_unknown: v.array(v.object({ machine_id: v.string(), because: v.string() })),
});

/** The last line; of a rollout that had nothing to do, `exit` alone. */
const result = resultSchema("tenant-update-image", {
  rollout: v.optional(v.string()),
  image: v.optional(v.string()),
  took_ms: v.optional(jsonCount),
  turned_because: v.optional(word),
  finished: v.optional(v.boolean()),
  updated: v.optional(jsonCount),
  stopped: v.optional(jsonCount),
  skipped: v.optional(jsonCount),
  rolled_back: v.optional(jsonCount),
  untouched: v.optional(jsonCount),
  gone: v.optional(jsonCount),
  foreign: v.optional(jsonCount),
  failed: v.optional(jsonCount),
  open: v.optional(jsonCount),
  waiting: v.optional(jsonCount),
  sessions_cut: v.optional(jsonCount),
  exit: jsonCount,
});

/** What `tenant update-image --json` prints. */
export const rolloutOutputs: JsonOutputs = {
  "tenant-update-image": {
    from: ["tenant update-image"],
    kind: "lines",
    schema: v.variant("type", [
      plan,
      v.object({
        type: v.literal("machine"),
        machine_id: v.string(),
        tenant_id: word,
        region: word,
        goal: v.string(),
        step: v.string(),
        outcome: word,
        reason: word,
      }),
      v.object({ type: v.literal("log"), machine_id: v.string(), lines: v.array(v.string()) }),
      v.object({ type: v.literal("refused"), reason: v.string() }),
      v.object({ type: v.literal("cut"), ...trouble, sessions: v.nullable(jsonCount) }),
      v.object({ type: v.literal("stranded"), ...trouble }),
      v.object({ type: v.literal("failed"), ...trouble }),
      result,
    ]),
  },
};
