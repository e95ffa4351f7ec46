import * as v from "valibot";
import { RemoteError, type RemoteErrorCode, remoteErrorCodes, WireError } from "./errors.ts";
import { type Frame, frameTypes, type FrameStream } from "./frame.ts";
import { forwardRequests } from "./forward-message.ts";
import { limits } from "./limits.ts";
import { name, note, text, textUpTo } from "./message-text.ts";
import { printableLine } from "./printable-line.ts";

/** The JSON bodies of control frames. Unknown members are let through, so that a newer peer can add some. */

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

const offset = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const size = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
const envName = v.pipe(
  text,
  v.minLength(1),
  v.check((value) => !value.includes("="), "An environment name with ="),
);
const argv = v.pipe(v.array(text), v.minLength(1), v.maxLength(limits.argvItemsMax));
const signal = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(64));
const durationMs = v.pipe(v.number(), v.safeInteger(), v.minValue(1));

/** Which session is meant. */
const chosen = {
  /** Id or name. */
  session: name,
  /** From the reply to `session-open`; another generation is another process, answered by `gone`. */
  generation: v.optional(name),
};

const sessionOpen = v.object({
  type: v.literal("session-open"),
  /** Chosen by the client, random: opening twice with one id is one session (nothing runs twice). */
  id: name,
  /** Chosen once by each client process, random: stdin is counted apart for every client. */
  client: name,
  /** What people call it; the default shell session is "main". */
  name: v.optional(name),
  /** Absent: the login shell. */
  argv: v.optional(argv),
  tty: v.boolean(),
  rows: v.optional(size),
  cols: v.optional(size),
  env: v.optional(v.pipe(v.record(envName, text), v.maxEntries(limits.envItemsMax))),
  cwd: v.optional(text),
  user: v.optional(text),
  context: v.optional(note),
  timeout_ms: v.optional(durationMs),
  /** Nobody stays with it: after the reply nothing follows, and pipes have no stdin. */
  detach: v.optional(v.boolean()),
});

const sessionAttach = v.object({
  type: v.literal("session-attach"),
  ...chosen,
  /** As in `session-open`: the same over all reconnects of one client process. */
  client: name,
  /** What this client has already shown of each stream. */
  stdout_offset: offset,
  stderr_offset: offset,
  /** `view` reads along and touches nothing: no size, no stdin, nobody waits for it. */
  mode: v.picklist(["take-over", "share", "view"]),
  /** With `view`: of what is there already no more than the last so many bytes of each stream. */
  tail_bytes: v.optional(offset),
  /** With `view`: no more than the last so many lines of each stream; with both the shorter counts. */
  tail_lines: v.optional(offset),
  rows: v.optional(size),
  cols: v.optional(size),
});

const sessionRename = v.object({
  type: v.literal("session-rename"),
  ...chosen,
  /** Absent: it has none from now on. */
  name: v.optional(name),
});

const sessionSignal = v.object({
  type: v.literal("session-signal"),
  ...chosen,
  signal,
  /** The group in the foreground of its terminal (also where absent), or that of its own program. */
  to: v.optional(v.picklist(["foreground", "program"])),
});

const sessionWait = v.object({
  type: v.literal("session-wait"),
  ...chosen,
  timeout_ms: v.optional(durationMs),
});

const provision = v.object({
  type: v.literal("provision"),
  /** Chosen by the client, random: asking again with the same id goes on with the same provisioning. */
  id: name,
  source: v.variant("kind", [
    v.object({ kind: v.literal("upload"), size_bytes: v.optional(offset) }),
    v.object({ kind: v.literal("url"), url: textUpTo(limits.urlBytesMax) }),
    /** The root filesystem before the last switch, unless the one with that digest is not live any more. */
    v.object({ kind: v.literal("previous"), instead_of: v.optional(sha256) }),
  ]),
  sha256: v.optional(sha256),
});

/** Bytes for nothing but to see how fast they come; both ends count for so long. */
const speed = v.object({
  type: v.literal("speed"),
  direction: v.picklist(["down", "up"]),
  duration_ms: v.pipe(durationMs, v.maxValue(limits.speedMsMax)),
});

export const requestSchema = v.variant("type", [
  v.object({ type: v.literal("status") }),
  sessionOpen,
  sessionAttach,
  sessionRename,
  sessionSignal,
  sessionWait,
  v.object({ type: v.literal("sessions") }),
  ...forwardRequests,
  provision,
  v.object({ type: v.literal("provision-cancel"), id: name }),
  /** The last lines of init's own log. */
  v.object({
    type: v.literal("init-log"),
    lines: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(limits.logLinesMax)),
  }),
  v.object({ type: v.literal("report") }),
  v.object({ type: v.literal("power-off") }),
  speed,
]);

export type Request = v.InferOutput<typeof requestSchema>;
export type SessionOpenRequest = v.InferOutput<typeof sessionOpen>;
export type SessionAttachRequest = v.InferOutput<typeof sessionAttach>;
export type SessionRenameRequest = v.InferOutput<typeof sessionRename>;
export type SessionSignalRequest = v.InferOutput<typeof sessionSignal>;
export type SessionWaitRequest = v.InferOutput<typeof sessionWait>;
export type SpeedRequest = v.InferOutput<typeof speed>;
export type ProvisionRequest = v.InferOutput<typeof provision>;

/** Reply to `status`, and the parameters inside ACCEPT. */
export const statusSchema = v.object({
  vm_state: v.picklist(["cold", "provisioning", "ready"]),
  runtime: v.picklist(["not-started", "system-init", "fallback-init", "failed"]),
  init_version: text,
  /** Of the process that faces the network, where another program has taken its place or not. */
  link_version: v.optional(text),
  protocol_oldest: v.number(),
  protocol_newest: v.number(),
  rootfs_sha256: v.optional(text),
  /** Whether all but the service port and what was opened on purpose is closed to outsiders. */
  firewall: v.optional(v.picklist(["on", "off", "unavailable"])),
  /** Why it is not on. */
  firewall_reason: v.optional(text),
  /** Whether only holders of an admission key may start a handshake; "nobody" where the key is of no use. */
  admission: v.optional(v.picklist(["off", "on", "nobody"])),
  /** Of the keys that are live; connection ids are made with the first. */
  admission_epochs: v.optional(v.array(v.number())),
  /** The machine left a root filesystem by itself, because its init ended too soon. */
  rolled_back: v.optional(v.object({ sha256: v.optional(text), because: text })),
});
export type Status = v.InferOutput<typeof statusSchema>;

const space = v.object({ total_bytes: offset, available_bytes: offset });

/** Reply to `report`: how the machine is. */
export const reportSchema = v.object({
  /** Since init started. */
  uptime_ms: offset,
  /** The machine's clock, milliseconds since 1970. */
  clock_ms: offset,
  sessions_running: offset,
  /** Of these with a client. */
  sessions_attached: offset,
  /** Of the volume; absent where it could not be looked at. */
  disk: v.optional(space),
  memory: v.optional(space),
  /** Processes that ran or waited to run, over the last minute. */
  load: v.number(),
});
export type Report = v.InferOutput<typeof reportSchema>;

/** Ends a `speed` upwards: what came, and in which time. */
export const speedSchema = v.object({ bytes: offset, ms: v.number() });

/** Reply to `session-open` and `session-attach`. */
export const sessionReplySchema = v.object({
  id: name,
  name: v.optional(name),
  generation: name,
  tty: v.boolean(),
  /** False when the session was there before (a repeated open, or an attach). */
  created: v.boolean(),
  /** Stdin the session has received from this client, which sends from here. */
  stdin_offset: offset,
  /** Of a `view`: where each stream begins on this connection, and how far it was written by then. */
  view: v.optional(
    v.object({
      stdout_offset: offset,
      stderr_offset: offset,
      stdout_end: offset,
      stderr_end: offset,
    }),
  ),
});
export type SessionReply = v.InferOutput<typeof sessionReplySchema>;

export const exitSchema = v.union([
  v.object({ code: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255)) }),
  v.object({
    signal,
    timed_out: v.optional(v.boolean()),
    out_of_memory: v.optional(v.boolean()),
  }),
]);
export type Exit = v.InferOutput<typeof exitSchema>;

/** Reply to `session-rename` and `session-signal`: that it was done. */
export const emptyReplySchema = v.object({});

/** Reply to `session-wait`; without an exit the time ran out first. */
export const sessionEndSchema = v.object({ exit: v.optional(exitSchema) });
export type SessionEnd = v.InferOutput<typeof sessionEndSchema>;

export const sessionListSchema = v.object({
  sessions: v.array(
    v.object({
      session_id: text,
      name: v.optional(text),
      generation: text,
      argv: v.array(text),
      context: v.nullable(text),
      user: text,
      cwd: text,
      tty: v.boolean(),
      state: v.picklist(["running", "ended"]),
      pid: v.nullable(v.number()),
      attached: v.boolean(),
      clients: v.number(),
      /** Of a login shell on a terminal: nothing else is in its foreground. */
      at_prompt: v.optional(v.boolean()),
      stdout_bytes: v.number(),
      stderr_bytes: v.number(),
      started_at: text,
      ended_at: v.nullable(text),
      exit_code: v.nullable(v.number()),
      exit: v.nullable(exitSchema),
      /** Whether a client that drove it was told how it ended. */
      seen: v.optional(v.boolean()),
    }),
  ),
});
export type SessionList = v.InferOutput<typeof sessionListSchema>;

/** Reply to `init-log`: the oldest line first. */
export const initLogReplySchema = v.object({ lines: v.array(v.string()) });

/** Reply to `provision`. */
export const provisionReplySchema = v.object({
  /** What the machine has of an upload: the first `data` frame of this stream starts there. */
  offset,
  /** Whether this request began it: the second time only after the machine was restarted. */
  created: v.boolean(),
});

/** Reply to `provision-cancel`. */
export const cancelReplySchema = v.object({
  /** True: the old root filesystem stays. False: it was too late, the trees change places or have done so. */
  cancelled: v.boolean(),
});

export const progressSchema = v.object({
  phase: v.picklist(["download", "unpack", "sync", "switch", "boot"]),
  /** Compressed bytes taken, entries and bytes written so far. */
  received_bytes: offset,
  total_bytes: v.optional(offset),
  entries: offset,
  written_bytes: offset,
});
export type Progress = v.InferOutput<typeof progressSchema>;

export const provisionedSchema = v.object({
  /** Absent only for a previous root filesystem that init did not make itself. */
  sha256: v.optional(sha256),
  entries: offset,
  written_bytes: offset,
  skipped: v.array(text),
  status: statusSchema,
});
export type Provisioned = v.InferOutput<typeof provisionedSchema>;

/** The code is open: a newer peer may know more of them. */
const errorSchema = v.object({ code: text, message: text, hint: v.optional(text) });

export function encodeJson(value: unknown): Uint8Array<ArrayBuffer> {
  return encoder.encode(JSON.stringify(value));
}

/** Throws `WireError` that names the message and the member, never a stack of the JSON parser. */
export function decodeJson<Schema extends v.GenericSchema>(
  schema: Schema,
  payload: Uint8Array,
  what: string,
): v.InferOutput<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(payload));
  } catch {
    throw new WireError(`${what} is not JSON`);
  }
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  throw new WireError(`${what}: ${describe(result.issues[0])}`);
}

/** Names the member and what it should be, never what the peer put there: that may be long, or a terminal escape. */
function describe(issue: v.BaseIssue<unknown>): string {
  const member = v.getDotPath(issue) ?? "value";
  const expected = issue.expected === null ? issue.message : `expected ${issue.expected}`;
  return printableLine(`${member}: ${expected}`, limits.messageBytesMax);
}

/** The request a stream begins with. Throws `RemoteError`, ready for `sendError`. */
export function decodeRequest(frame: Frame): Request {
  if (frame.type !== frameTypes.request)
    throw new RemoteError("bad-request", "The first frame of a stream must be a request");
  const { type } = refuseAs("bad-request", () =>
    decodeJson(v.object({ type: text }), frame.payload, "Request"),
  );
  if (!requestTypes.has(type))
    throw new RemoteError(
      "unsupported",
      `This machine does not know the request ${printableLine(type, limits.nameBytesMax)}`,
      "The machine runs an older version than the client: update its image",
    );
  return refuseAs("bad-request", () => decodeJson(requestSchema, frame.payload, "Request"));
}

const requestTypes: ReadonlySet<string> = new Set(
  requestSchema.options.map((option) => option.entries.type.literal),
);

function refuseAs<Value>(code: RemoteErrorCode, decode: () => Value): Value {
  try {
    return decode();
  } catch (error) {
    if (error instanceof WireError) throw new RemoteError(code, error.message);
    throw error;
  }
}

export async function sendError(frames: FrameStream, error: RemoteError): Promise<void> {
  const body = {
    code: error.code,
    message: printableLine(error.message, limits.messageBytesMax),
    ...(error.hint === undefined ? {} : { hint: printableLine(error.hint, limits.hintBytesMax) }),
  };
  await frames.write(frameTypes.error, encodeJson(body));
}

/** The error an `error` frame carries. An unknown code of a newer peer reads as `internal`. */
export function decodeError(payload: Uint8Array): RemoteError {
  const body = decodeJson(errorSchema, payload, "Error reply");
  const known = remoteErrorCodes.find((code) => code === body.code);
  const hint = body.hint === undefined ? undefined : printableLine(body.hint, limits.hintBytesMax);
  return new RemoteError(
    known ?? "internal",
    printableLine(body.message, limits.messageBytesMax),
    hint,
  );
}

/** Sends a request as the first frame of a fresh stream and reads its reply. Rejects with `RemoteError` when refused. */
export async function request<Schema extends v.GenericSchema>(
  frames: FrameStream,
  message: Request,
  reply: Schema,
): Promise<v.InferOutput<Schema>> {
  await frames.write(frameTypes.request, encodeJson(message));
  const frame = await frames.read();
  return decodeJson(reply, expectOk(frame).payload, `Reply to ${message.type}`);
}

function expectOk(frame: Frame | null): Frame {
  if (frame === null) throw new WireError("The stream ended before a reply");
  if (frame.type === frameTypes.error) throw decodeError(frame.payload);
  if (frame.type !== frameTypes.ok)
    throw new WireError(`Frame 0x${frame.type.toString(16)} where a reply was due`);
  return frame;
}
