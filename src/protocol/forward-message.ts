import * as v from "valibot";
import { limits } from "./limits.ts";
import { name, text, textUpTo } from "./message-fields.ts";

/** What clients and machine say about forwards; message.ts has the rest. */

const host = v.pipe(textUpTo(limits.hostBytesMax), v.minLength(1));
const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
/** Of a Unix socket, from the root of the guest. */
const socketPath = v.pipe(textUpTo(limits.socketPathBytesMax), v.startsWith("/"));
const connectionNumber = v.pipe(v.number(), v.safeInteger(), v.minValue(1));

const forwardListen = v.object({
  type: v.literal("forward-listen"),
  /** Chosen by the client, random: asking again with the same id takes the listener over. */
  id: name,
  at: v.variant("kind", [
    v.object({
      kind: v.literal("tcp"),
      host,
      /** 0: the machine chooses. */
      port: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65_535)),
    }),
    v.object({ kind: v.literal("unix"), path: socketPath }),
  ]),
  /** Others than the machine itself may connect: without it the host must be a loopback address. */
  gateway: v.optional(v.boolean()),
});

const forwardAccept = v.object({
  type: v.literal("forward-accept"),
  listener: name,
  connection: connectionNumber,
  /** It is not wanted, and reset. */
  refuse: v.optional(v.boolean()),
});

export const forwardRequests = [
  v.object({ type: v.literal("forward"), host, port }),
  v.object({ type: v.literal("forward-unix"), path: socketPath }),
  v.object({ type: v.literal("forward-udp"), host, port }),
  forwardListen,
  forwardAccept,
] as const;

export type ForwardRequest = v.InferOutput<(typeof forwardRequests)[number]>;
export type ForwardListenRequest = v.InferOutput<typeof forwardListen>;
export type ForwardAcceptRequest = v.InferOutput<typeof forwardAccept>;

export function isForwardRequest(request: { readonly type: string }): request is ForwardRequest {
  return forwardRequests.some((schema) => schema.entries.type.literal === request.type);
}

/** Reply to `forward-listen`. */
export const listenReplySchema = v.object({
  /** Of TCP: the one it listens on. */
  port: v.optional(port),
  /** False when the listener was there before, and was taken over. */
  created: v.boolean(),
});

/** Of frame `incoming`. */
export const incomingSchema = v.object({ connection: connectionNumber, from: v.optional(text) });
export type Incoming = v.InferOutput<typeof incomingSchema>;
