import * as v from "valibot";
import { failureCodes } from "../../../cli/failure-codes.ts";
import { WireError } from "../../../protocol/errors.ts";
import { statusSchema } from "../../../protocol/message.ts";
import { encodeSharedFrame, type SharedFrame, sharedFrameTypes } from "./shared-frame.ts";

/** The first message on a socket says what it is for. */
export const linkRequestSchema = v.variant("type", [
  /** A command: hears how the link does, for as long as the socket is open. */
  v.object({ type: v.literal("client"), verbose: v.number() }),
  /** From here on the socket is a stream of the machine, over the connection of that number. */
  v.object({ type: v.literal("stream"), generation: v.number() }),
  v.object({ type: v.literal("describe") }),
  v.object({ type: v.literal("stop") }),
]);
export type LinkRequest = v.InferOutput<typeof linkRequestSchema>;

/** From a command, later on. */
export const linkWishSchema = v.variant("type", [
  v.object({ type: v.literal("retry") }),
  v.object({ type: v.literal("stats") }),
]);
export type LinkWish = v.InferOutput<typeof linkWishSchema>;

const optionalText = v.optional(v.string());

const machineSchema = v.object({
  issuer: v.string(),
  orgId: v.string(),
  appId: v.string(),
  appName: v.string(),
  machineId: v.string(),
  machineName: optionalText,
  region: optionalText,
  image: optionalText,
  imageDigest: optionalText,
  issuedAtMs: v.number(),
  expiresAtMs: v.number(),
});

const statsSchema = v.object({
  rttMs: v.number(),
  lostPackets: v.number(),
  sentPackets: v.number(),
});

const phasesSchema = v.object({
  dnsMs: v.number(),
  quicMs: v.number(),
  attestMs: v.number(),
  authMs: v.number(),
});

/** To a command. `socket` is where its streams go: the name in the folder may pass to a newer link. */
export const linkNewsSchema = v.variant("type", [
  v.object({ type: v.literal("welcome"), socket: v.string() }),
  v.object({ type: v.literal("notice"), text: v.string() }),
  v.object({
    type: v.literal("up"),
    generation: v.number(),
    login: v.object({ status: statusSchema, version: v.number(), machine: machineSchema }),
    phases: phasesSchema,
    stats: statsSchema,
  }),
  v.object({ type: v.literal("down"), attempt: v.number(), forMs: v.number() }),
  v.object({
    type: v.literal("failed"),
    code: v.picklist(Object.keys(failureCodes) as (keyof typeof failureCodes)[]),
    message: v.string(),
    because: optionalText,
    checklist: v.optional(
      v.object({
        steps: v.pipe(v.array(v.object({ passed: v.boolean(), text: v.string() })), v.readonly()),
        next: v.string(),
      }),
    ),
    fix: optionalText,
    retryable: v.boolean(),
  }),
  v.object({ type: v.literal("stats"), stats: statsSchema }),
]);
export type LinkNews = v.InferOutput<typeof linkNewsSchema>;
export type LinkUp = Extract<LinkNews, { type: "up" }>;
export type LinkFailed = Extract<LinkNews, { type: "failed" }>;

/** Answer to `describe`. */
export const linkDescriptionSchema = v.object({
  vault: v.string(),
  /** Where the vault stands; older links do not tell. */
  config: optionalText,
  state: v.picklist(["opening", "up", "down"]),
  machine_id: v.nullable(v.string()),
  age_ms: v.number(),
  idle_ms: v.nullable(v.number()),
  clients: v.number(),
  streams: v.number(),
  pid: v.number(),
  version: v.string(),
});
export type LinkDescription = v.InferOutput<typeof linkDescriptionSchema>;

/** What a background link is started with, over a pipe: it holds the token. */
export const linkPlanSchema = v.object({
  folder: v.string(),
  name: v.string(),
  token: v.string(),
  /** Of the vault; checked by the command that read it. */
  config: v.looseObject({ name: v.string(), path: v.string(), folder: v.string() }),
  /** Digest of what the file says; another one is the end of this link. */
  configDigest: v.string(),
  transport: v.nullable(v.picklist(["auto", "quic", "tcp"])),
  idleMs: v.number(),
  verbose: v.number(),
  quiet: v.boolean(),
  terminalColumns: v.nullable(v.number()),
});
export type LinkPlan = v.InferOutput<typeof linkPlanSchema>;

export function encodeMessage(
  value: LinkRequest | LinkWish | LinkNews | LinkDescription,
): Uint8Array {
  return encodeSharedFrame(
    sharedFrameTypes.message,
    new TextEncoder().encode(JSON.stringify(value)),
  );
}

/** Throws `WireError`: between two of our own programs, but not necessarily of one version. */
export function decodeMessage<Schema extends v.GenericSchema>(
  schema: Schema,
  frame: SharedFrame,
): v.InferOutput<Schema> {
  if (frame.type !== sharedFrameTypes.message) throw new WireError("Not a message");
  try {
    return v.parse(schema, JSON.parse(new TextDecoder().decode(frame.payload)));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof v.ValiError)
      throw new WireError(`A message of a shared link is not understood: ${error.message}`);
    throw error;
  }
}
