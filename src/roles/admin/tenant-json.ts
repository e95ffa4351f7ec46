import * as v from "valibot";
import {
  documentSchema,
  jsonCount,
  type JsonOutput,
  type JsonOutputs,
} from "../../cli/json-outputs.ts";

const word = v.nullable(v.string());

/** What a client needs to know of a machine, its token in it. */
const entry = v.object({
  vault: v.string(),
  address: v.string(),
  org: v.string(),
  app: v.string(),
  machine_id: v.string(),
  access_token: word,
  admission_key: word,
  issuer: word,
});

function entries(name: string, from: readonly string[]): JsonOutput {
  return { from, kind: "document", schema: documentSchema(name, v.array(entry)) };
}

/** What the commands about tenants print with `--json`. */
export const tenantOutputs: JsonOutputs = {
  "tenant-create": entries("tenant-create", ["tenant create", "tenant apply"]),
  "tenant-rekey": entries("tenant-rekey", ["tenant rekey"]),
  "tenant-rotate-token": entries("tenant-rotate-token", ["tenant rotate-token"]),
  "tenant-diff": {
    from: ["tenant diff"],
    kind: "document",
    schema: documentSchema(
      "tenant-diff",
      v.array(
        v.object({
          machine_id: word,
          index: v.nullable(jsonCount),
          finished: v.boolean(),
          planned: v.boolean(),
          differences: v.array(
            v.object({ key: v.string(), from: v.unknown(), to: v.unknown(), obstacle: word }),
          ),
        }),
      ),
    ),
  },
  "tenant-delete": {
    from: ["tenant delete"],
    kind: "document",
    schema: documentSchema(
      "tenant-delete",
      v.object({
        tenant_id: v.string(),
        machines: v.array(
          v.object({ machine_id: v.string(), name: word, state: v.string(), region: word }),
        ),
        volumes: v.array(
          v.object({
            volume_id: v.string(),
            name: word,
            region: word,
            size_gib: v.nullable(v.number()),
            machine_id: v.string(),
            last_started_at: word,
          }),
        ),
      }),
    ),
  },
  "tenant-list": {
    from: ["tenant list"],
    kind: "document",
    // A bare array, as the first fly-vault-admin printed it; what Fly says of a machine is Fly's.
    schema: v.array(
      v.object({
        tenant_id: v.string(),
        total: jsonCount,
        started: jsonCount,
        stopped: jsonCount,
        other: jsonCount,
        /** Machines that an interrupted run has left. */
        unfinished: v.optional(jsonCount),
        regions: v.array(v.string()),
        image: v.string(),
        last_updated_at: v.nullish(v.string()),
        machines: v.array(
          v.looseObject({
            id: v.string(),
            state: v.string(),
            image: v.string(),
            volumes: v.array(v.string()),
            usage_fact: v.looseObject({ machine_id: v.string(), state: v.string() }),
          }),
        ),
      }),
    ),
  },
};
