import type { GenericSchema } from "valibot";
import {
  incomingSchema,
  isForwardRequest,
  listenReplySchema,
} from "../../src/protocol/forward-message.ts";
import { RemoteError, WireError } from "../../src/protocol/errors.ts";
import { frameTypes } from "../../src/protocol/frame.ts";
import { limits } from "../../src/protocol/limits.ts";
import {
  decodeError,
  decodeJson,
  decodeRequest,
  encodeJson,
  progressSchema,
  provisionedSchema,
  type Request,
  statusSchema,
} from "../../src/protocol/message.ts";
import {
  sessionEndSchema,
  sessionListSchema,
  sessionReplySchema,
} from "../../src/protocol/session-message.ts";
import { requests as anyRequest } from "../support/arbitraries.ts";
import { allowing, type FuzzTarget } from "../support/fuzz.ts";
import { mutateJson } from "../support/json-damage.ts";
import { sampled } from "../support/seed.ts";
import { readVectors } from "../support/vectors.ts";

const payloadsOf = (...files: string[]): Uint8Array[] =>
  files.flatMap((file) => readVectors(file).map(({ bytes }) => bytes.subarray(5)));

/** What a stream begins with: commands, environments, sizes, provisioning. Survives its own spelling. */
export const requests: FuzzTarget = {
  name: "requests",
  runs: 800_000,
  planned: 5_000_000,
  corpus: (random) => [
    ...payloadsOf("request.txt"),
    ...sampled(random, anyRequest, 500).map(encodeJson),
  ],
  mutate: mutateJson,
  check: (payload) => {
    const request = readRequest(payload);
    if (request !== undefined) checkRequest(request);
    return request !== undefined;
  },
};

/** The two smallest on their own, since most streams are forwards. */
export const forwards: FuzzTarget = {
  name: "forward and status",
  runs: 700_000,
  planned: 5_000_000,
  corpus: (random) => [
    ...sampled(random, anyRequest, 1000).filter(isForwardRequest).map(encodeJson),
    ...payloadsOf("reply.txt").filter((bytes) => Buffer.from(bytes).includes("vm_state")),
  ],
  mutate: mutateJson,
  check: (payload) => {
    const request = readRequest(payload);
    if (request !== undefined) checkRequest(request);
    return request !== undefined || survives(statusSchema, payload);
  },
};

/** What a client reads: replies, lists, errors, progress of provisioning. */
export const replies: FuzzTarget = {
  name: "replies",
  runs: 100_000,
  corpus: () => payloadsOf("reply.txt", "provision.txt"),
  mutate: mutateJson,
  check: (payload) => {
    const error = allowing(WireError, () => decodeError(payload));
    if (error !== undefined && /\p{Cc}/u.test(`${error.message}${error.hint ?? ""}`))
      throw new Error("a control character in an error");
    const read = replySchemas.filter((schema) => survives(schema, payload));
    return error !== undefined || read.length > 0;
  },
};

const replySchemas: readonly GenericSchema[] = [
  statusSchema,
  sessionReplySchema,
  sessionEndSchema,
  sessionListSchema,
  progressSchema,
  provisionedSchema,
  listenReplySchema,
  incomingSchema,
];

function survives(schema: GenericSchema, payload: Uint8Array): boolean {
  const value = allowing(WireError, () => decodeJson(schema, payload, "Reply"));
  if (value === undefined) return false;
  const again = decodeJson(schema, encodeJson(value), "Reply");
  if (JSON.stringify(again) !== JSON.stringify(value)) throw new Error("the reply changes");
  return true;
}

function readRequest(payload: Uint8Array): Request | undefined {
  return allowing(RemoteError, () => decodeRequest({ type: frameTypes.request, payload }));
}

function socketPathOf(request: Request): string | undefined {
  if (request.type === "forward-unix") return request.path;
  return request.type === "forward-listen" && request.at.kind === "unix"
    ? request.at.path
    : undefined;
}

function checkForward(request: Request): void {
  if ("port" in request && (request.port < 1 || request.port > 65_535))
    throw new RangeError(`port ${request.port}`);
  const path = socketPathOf(request);
  if (path !== undefined && (!path.startsWith("/") || path.includes("\0")))
    throw new Error("no path of a socket");
}

function checkRequest(request: Request): void {
  const again = readRequest(encodeJson(request));
  if (JSON.stringify(again) !== JSON.stringify(request)) throw new Error("the request changes");
  checkForward(request);
  if (request.type !== "session-open") return;
  const { argv = [], env = {}, cwd = "", user = "" } = request;
  const texts = [...argv, ...Object.keys(env), ...Object.values(env), cwd, user];
  if (texts.some((text) => text.includes("\0"))) throw new Error("a zero byte for the kernel");
  if (argv.length > limits.argvItemsMax || Object.keys(env).length > limits.envItemsMax)
    throw new RangeError("too many words");
}
