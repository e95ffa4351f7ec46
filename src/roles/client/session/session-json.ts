import { jsonDocument } from "../../../cli/json-document.ts";
import * as v from "valibot";
import type { Exit, SessionList } from "../../../protocol/session-message.ts";
import { exitStatus } from "./exit-status.ts";
import { signalName } from "./signal-name.ts";

/**
 * What the commands about sessions print with `--json` or to `--status-fd`. Members may be added;
 * one that changes or goes needs another version.
 */
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const time = v.pipe(v.string(), v.isoTimestamp());

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
  clients: count,
  stdout_bytes: count,
  stderr_bytes: count,
  started_at: time,
  ended_at: v.nullable(time),
  ...endingSchema,
});

const errorSchema = v.object({
  code: v.string(),
  message: v.string(),
  cause: v.nullable(v.string()),
  fix: v.nullable(v.string()),
  exit: v.number(),
});

/** By the name in `schema`, without its "fly-vault/". */
export const sessionDocuments = {
  sessions: v.array(sessionSchema),
  run: v.object({ session_id: v.string(), name: v.nullable(v.string()), generation: v.string() }),
  wait: v.object({ session_id: v.string(), ...endingSchema }),
  status: v.object({
    session_id: v.nullable(v.string()),
    /** What this client exits with. */
    status: v.number(),
    /** Whether the session was left to go on. */
    left: v.boolean(),
    ...endingSchema,
    error: v.nullable(errorSchema),
  }),
} as const;

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
  const { exit, seen: _, exit_code: __, name, ...same } = session;
  return { ...same, name: name ?? null, ...endingOf(exit) };
}
