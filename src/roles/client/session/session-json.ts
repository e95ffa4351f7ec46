import { jsonDocument } from "../../../cli/json-document.ts";
import * as v from "valibot";
import {
  documentSchema,
  jsonCount,
  jsonError,
  type JsonOutputs,
  jsonTime,
} from "../../../cli/json-outputs.ts";
import type { Exit, SessionList } from "../../../protocol/session-message.ts";
import { exitStatus } from "./exit-status.ts";
import { signalName } from "./signal-name.ts";

/**
 * What the commands about sessions print with `--json` or to `--status-fd`. Members may be added;
 * one that changes or goes needs another version.
 */
const endingSchema = {
  /** As `wait` returns it: 124 when the time ran out, 128 and the signal. */
  exit_code: v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255))),
  ended_by: v.nullable(v.picklist(["exit", "signal", "timeout", "out-of-memory"])),
  signal: v.nullable(v.string()),
};

const sessionSchema = v.object({
  session_id: v.string(),
  name: v.nullable(v.string()),
  generation: v.string(),
  argv: v.array(v.string()),
  context: v.nullable(v.string()),
  user: v.string(),
  cwd: v.string(),
  tty: v.boolean(),
  state: v.picklist(["running", "ended"]),
  pid: v.nullable(v.number()),
  attached: v.boolean(),
  clients: jsonCount,
  /** Of a login shell on a terminal: nothing else is in its foreground. */
  at_prompt: v.nullable(v.boolean()),
  /** Those that came first first; null from a machine that does not tell. */
  attachments: v.nullable(
    v.array(v.object({ label: v.nullable(v.string()), since: v.string(), tty: v.boolean() })),
  ),
  stdout_bytes: jsonCount,
  stderr_bytes: jsonCount,
  started_at: jsonTime,
  ended_at: v.nullable(jsonTime),
  ...endingSchema,
});

/** By the name in `schema`, without its "fly-vault/". */
export const sessionDocuments = {
  sessions: v.array(sessionSchema),
  run: v.object({ session_id: v.string(), name: v.nullable(v.string()), generation: v.string() }),
  wait: v.object({ session_id: v.string(), ...endingSchema }),
  "exit-status": v.object({
    session_id: v.nullable(v.string()),
    /** What this client exits with. */
    status: v.number(),
    /** Whether the session was left to go on. */
    left: v.boolean(),
    ...endingSchema,
    error: v.nullable(jsonError),
  }),
} as const;

/** `--status-fd` of connect, exec and attach prints one of these as well. */
export const sessionOutputs: JsonOutputs = {
  sessions: {
    from: ["sessions"],
    kind: "document",
    schema: documentSchema("sessions", sessionDocuments.sessions),
  },
  run: { from: ["run"], kind: "document", schema: documentSchema("run", sessionDocuments.run) },
  wait: { from: ["wait"], kind: "document", schema: documentSchema("wait", sessionDocuments.wait) },
  "exit-status": {
    from: [],
    kind: "document",
    schema: documentSchema("exit-status", sessionDocuments["exit-status"]),
  },
};

type Documents = typeof sessionDocuments;

/** One line: a document and its end. */
export function sessionDocument<Name extends keyof Documents>(
  name: Name,
  data: v.InferInput<Documents[Name]>,
): string {
  return jsonDocument(name, data);
}

type Ending = { readonly [K in keyof typeof endingSchema]: v.InferInput<(typeof endingSchema)[K]> };

/** All null while it runs. */
export function endingOf(exit: Exit | null): Ending {
  if (exit === null) return { exit_code: null, ended_by: null, signal: null };
  const exit_code = exitStatus(exit);
  if ("code" in exit) return { exit_code, ended_by: "exit", signal: null };
  const signal = signalName(exit.signal);
  if (exit.timed_out === true) return { exit_code, ended_by: "timeout", signal };
  return { exit_code, ended_by: exit.out_of_memory === true ? "out-of-memory" : "signal", signal };
}

export function sessionData(
  session: SessionList["sessions"][number],
): v.InferInput<typeof sessionSchema> {
  const { exit, seen: _, exit_code: __, name, at_prompt, attachments, ...same } = session;
  return {
    ...same,
    name: name ?? null,
    at_prompt: at_prompt ?? null,
    attachments: attachments ?? null,
    ...endingOf(exit),
  };
}
