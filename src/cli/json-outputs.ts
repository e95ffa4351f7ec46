import * as v from "valibot";

/** What `--json` of a command prints, for programs: beside the command, held by a test, shown by `help json NAME`. */
export interface JsonOutput {
  /** Names of the commands that print it. */
  readonly from: readonly string[];
  /** `lines`: one of them for each line, the last one the result. */
  readonly kind: "document" | "lines";
  readonly schema: v.GenericSchema;
}

/** By the name in `schema`, without its "fly-vault/". */
export type JsonOutputs = Readonly<Record<string, JsonOutput>>;

export function documentSchema<const Name extends string, Data extends v.GenericSchema>(
  name: Name,
  data: Data,
) {
  return v.object({ schema: v.literal(`fly-vault/${name}`), version: v.literal(1), data });
}

/** The last of several lines. */
export function resultSchema<const Name extends string, Entries extends v.ObjectEntries>(
  name: Name,
  entries: Entries,
) {
  return v.object({
    type: v.literal("result"),
    schema: v.literal(`fly-vault/${name}`),
    version: v.literal(1),
    ...entries,
  });
}

export const jsonCount = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
export const jsonTime = v.pipe(v.string(), v.isoTimestamp());

export const jsonError = v.object({
  code: v.string(),
  message: v.string(),
  cause: v.nullable(v.string()),
  fix: v.nullable(v.string()),
  exit: v.number(),
});

/** Of `doctor` and `netcheck`. */
export function checksSchema<const Name extends string>(name: Name) {
  return v.variant("type", [
    v.object({
      type: v.literal("check"),
      name: v.string(),
      status: v.picklist(["ok", "warning", "failed", "skipped"]),
      detail: v.string(),
      fix: v.nullable(v.string()),
      more: v.array(v.string()),
      duration_ms: jsonCount,
    }),
    resultSchema(name, {
      ok: v.boolean(),
      checks: jsonCount,
      failed: jsonCount,
      warnings: jsonCount,
    }),
  ]);
}
