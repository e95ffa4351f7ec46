import * as v from "valibot";
import { RemoteError, type RemoteErrorCode, remoteErrorCodes, WireError } from "./errors.ts";
import { type Frame, frameTypes, type FrameStream } from "./frame.ts";
import { forwardRequests } from "./forward-message.ts";
import { limits } from "./limits.ts";
import { files, initLog, powerOff, report, speed } from "./machine-requests.ts";
import { name, offset, sha256, text, textUpTo } from "./message-fields.ts";
import { portsRequest } from "./ports-message.ts";
import { printableLine } from "./printable-line.ts";
import {
  sessionAttach,
  sessionOpen,
  sessionRename,
  sessionSignal,
  sessionWait,
} from "./session-message.ts";
import { agent, sftp, ssh, workload } from "./ssh-message.ts";

/** The JSON bodies of control frames. Unknown members are let through, so that a newer peer can add some. */

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

const provision = v.object({
  type: v.literal("provision"),
  /** Chosen by the client, random: asking again with the same id goes on with the same provisioning. */
  id: name,
  source: v.variant("kind", [
    v.object({ kind: v.literal("upload"), size_bytes: v.optional(offset) }),
    /** An upload of what the live root filesystem has not: a recipe, then the pieces that are lacking. */
    v.object({
      kind: v.literal("delta"),
      archive_sha256: sha256,
      /** Of the tar stream inside the archive, which is what is put together. */
      tar_sha256: sha256,
      tar_bytes: offset,
      recipe_bytes: v.pipe(offset, v.minValue(1), v.maxValue(limits.recipeBytesMax)),
    }),
    v.object({ kind: v.literal("url"), url: textUpTo(limits.urlBytesMax) }),
    /** The root filesystem before the last switch, unless the one with that digest is not live any more. */
    v.object({ kind: v.literal("previous"), instead_of: v.optional(sha256) }),
  ]),
  sha256: v.optional(sha256),
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
  initLog,
  report,
  powerOff,
  speed,
  files,
  ssh,
  agent,
  sftp,
  workload,
  portsRequest,
]);

export type Request = v.InferOutput<typeof requestSchema>;
export type SpeedRequest = v.InferOutput<typeof speed>;
export type FilesRequest = v.InferOutput<typeof files>;
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
  /** Of a machine that stops when nobody has done anything for so long. */
  idle: v.optional(v.object({ stop_after_ms: offset, idle_ms: offset })),
});
export type Report = v.InferOutput<typeof reportSchema>;

/** Ends a `speed` upwards: what came, and in which time. */
export const speedSchema = v.object({ bytes: offset, ms: v.number() });

/** Reply to `session-rename` and `session-signal`: that it was done. */
export const emptyReplySchema = v.object({});

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
  phase: v.picklist(["download", "compare", "unpack", "sync", "switch", "boot"]),
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
