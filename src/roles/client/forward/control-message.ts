import * as v from "valibot";

/** The bodies of the control socket's requests; docs/control-socket-api.yaml has the whole. */

const words = v.pipe(v.string(), v.maxLength(128 * 1024));
const name = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, '1 to 64 letters, digits, ".", "_" or "-"'),
);
const kind = v.optional(v.picklist(["L", "R", "D"]));

export const execBodySchema = v.strictObject({
  command: v.pipe(v.array(words), v.minLength(1), v.maxLength(4096)),
  session_id: v.optional(name),
  context: v.optional(v.pipe(v.string(), v.maxLength(1024))),
  env: v.optional(v.record(v.string(), words)),
  workdir: v.optional(words),
  user: v.optional(words),
  timeout_ms: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(1))),
  /** All of its standard input; one or the other. */
  stdin: v.optional(v.string()),
  stdin_base64: v.optional(v.pipe(v.string(), v.base64())),
});
export type ExecBody = v.InferOutput<typeof execBodySchema>;

export const addBodySchema = v.strictObject({ spec: v.string(), kind });

export const removeBodySchema = v.union([
  v.strictObject({
    local_port: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535)),
  }),
  v.strictObject({ listen: v.string(), kind }),
]);

/** How a forward is shown. */
export const forwardSchema = v.object({
  kind: v.picklist(["L", "R", "D"]),
  listen: v.string(),
  /** Of the port that listens here. */
  local_port: v.nullable(v.number()),
  target: v.nullable(v.string()),
  state: v.picklist(["up", "waiting", "failed"]),
  connections: v.number(),
  /** As it is shown to people. */
  line: v.string(),
});
export type ControlForward = v.InferOutput<typeof forwardSchema>;
export const forwardListSchema = v.array(forwardSchema);
export const errorBodySchema = v.object({
  error: v.string(),
  /** What to do about it, where that is known. */
  fix: v.optional(v.string()),
});
