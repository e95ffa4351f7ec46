import * as v from "valibot";
import {
  documentSchema,
  jsonCount,
  type JsonOutputs,
  jsonTime,
} from "../../../cli/json-outputs.ts";

const word = v.nullable(v.string());
/** Why a fact counts. */
const fact = v.object({
  value: word,
  standing: v.picklist(["pinned", "allowed", "first_use", "not_pinned"]),
});

/** What the commands about the configuration and its vaults print with `--json`. */
export const vaultOutputs: JsonOutputs = {
  "vault-list": {
    from: ["vault ls"],
    kind: "document",
    schema: documentSchema(
      "vault-list",
      v.array(
        v.object({
          name: v.string(),
          address: word,
          org: word,
          app: word,
          machine_id: word,
          default: v.boolean(),
        }),
      ),
    ),
  },
  vault: {
    from: ["vault show"],
    kind: "document",
    // The keys of the configuration as they are there, those that are not set left out.
    schema: documentSchema(
      "vault",
      v.looseObject({
        name: v.string(),
        path: v.string(),
        address: v.string(),
        org: v.string(),
        app: v.string(),
        has_admission_key: v.boolean(),
        token: word,
        seen_machine_id: word,
        seen_image_digest: word,
        first_seen_at: v.nullable(jsonTime),
      }),
    ),
  },
  config: {
    from: ["config show"],
    kind: "document",
    schema: documentSchema(
      "config",
      v.array(v.object({ key: v.string(), value: v.unknown(), origin: v.string() })),
    ),
  },
  verify: {
    from: ["verify"],
    kind: "document",
    schema: documentSchema(
      "verify",
      v.object({
        vault: v.string(),
        attested_at: jsonTime,
        issuer: v.string(),
        org: fact,
        app: fact,
        machine: fact,
        region: word,
        image: v.object({ name: word, ...fact.entries }),
        digests_allowed: v.nullable(jsonCount),
        init_version: fact,
        binding: v.literal("tls_exporter"),
        signature: v.literal("RS256"),
        token_age_ms: v.number(),
        clock_skew_ms: v.number(),
        not_covered: v.array(v.string()),
      }),
    ),
  },
};
