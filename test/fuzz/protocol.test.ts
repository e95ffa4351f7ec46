import { expect, test } from "bun:test";
import { RemoteError, WireError } from "../../src/protocol/errors.ts";
import { type Frame, FrameDecoder, frameTypes } from "../../src/protocol/frame.ts";
import { encodeLoginMessage, LoginMessageDecoder } from "../../src/protocol/login-message.ts";
import {
  decodeError,
  decodeJson,
  decodeRequest,
  progressSchema,
  provisionedSchema,
  sessionEndSchema,
  sessionListSchema,
  sessionReplySchema,
  statusSchema,
} from "../../src/protocol/message.ts";
import {
  type ClientFrame,
  decodeClientFrame,
  decodeServerFrame,
  encodeSessionFrame,
  type ServerFrame,
} from "../../src/protocol/session-frame.ts";
import { fuzz } from "../support/fuzz.ts";
import { readVectors } from "../support/vectors.ts";

/** Mutants of the vectors: every decoder gives a value or its own error, nothing else. */

const minute = 60_000;
const longest = (Number(process.env["FV_FUZZ_SECONDS"]) || 0) * 1000 + minute;
const corpusOf = (...files: string[]): Uint8Array[] =>
  files.flatMap((file) => readVectors(file).map((vector) => vector.bytes));

test(
  "frames and the session frames in them",
  () => {
    let decoded = 0;
    const runs = fuzz(corpusOf("session.txt", "frame.txt", "provision.txt"), 500_000, (bytes) => {
      for (const frame of allowing(WireError, () => framesIn(bytes)) ?? [])
        for (const decode of [decodeClientFrame, decodeServerFrame])
          decoded += allowing(WireError, () => checkSession(frame, decode(frame))) ?? 0;
    });
    expect(decoded).toBeGreaterThan(runs / 100);
  },
  longest,
);

test(
  "requests",
  () => {
    const payloads = corpusOf("request.txt").map((bytes) => bytes.subarray(5));
    let decoded = 0;
    const runs = fuzz(payloads, 200_000, (payload) => {
      const frame = { type: frameTypes.request, payload };
      if (allowing(RemoteError, () => decodeRequest(frame)) !== undefined) decoded += 1;
    });
    expect(decoded).toBeGreaterThan(runs / 100);
  },
  longest,
);

test(
  "replies, errors and progress",
  () => {
    const payloads = corpusOf("reply.txt", "provision.txt").map((bytes) => bytes.subarray(5));
    const schemas = [
      statusSchema,
      sessionReplySchema,
      sessionEndSchema,
      sessionListSchema,
      progressSchema,
      provisionedSchema,
    ] as const;
    fuzz(payloads, 100_000, (payload) => {
      allowing(WireError, () => decodeError(payload));
      for (const schema of schemas)
        allowing(WireError, () => decodeJson<typeof schema>(schema, payload, "Reply"));
    });
  },
  longest,
);

test(
  "login messages",
  () => {
    const nonce = new Uint8Array(32).fill(1);
    const jwt = new TextEncoder().encode("eyJh.eyJp.c2ln");
    const corpus = [
      encodeLoginMessage({ kind: "hello", version: 1, nonce, features: 0 }),
      encodeLoginMessage({ kind: "evidence", nonce, features: 7, jwt }),
      encodeLoginMessage({ kind: "proof", proof: nonce }),
      encodeLoginMessage({ kind: "accept", proof: nonce, parameters: jwt }),
    ];
    let decoded = 0;
    const runs = fuzz(corpus, 300_000, (bytes) => {
      const decoder = new LoginMessageDecoder(["hello", "evidence", "proof", "accept"]);
      for (const message of allowing(WireError, () => decoder.push(bytes)) ?? []) {
        const again = encodeLoginMessage(message);
        if (!Buffer.from(bytes).includes(again))
          throw new Error(`${message.kind} is not canonical`);
        decoded += 1;
      }
    });
    expect(decoded).toBeGreaterThan(runs / 100);
  },
  longest,
);

function framesIn(bytes: Uint8Array): Frame[] {
  const decoder = new FrameDecoder();
  decoder.feed(bytes);
  const frames: Frame[] = [];
  for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) frames.push(frame);
  return frames;
}

/** What was read is in range, and is written as the same bytes. */
function checkSession(raw: Frame, frame: ClientFrame | ServerFrame): number {
  for (const value of Object.values(frame))
    if (typeof value === "number" && (!Number.isSafeInteger(value) || value < 0))
      throw new RangeError(`${value} came out of ${frame.kind}`);
  if (frame.kind === "exit" || frame.kind === "error") return 1;
  const again = encodeSessionFrame(frame).subarray(5);
  if (Buffer.compare(again, raw.payload) !== 0) throw new Error(`${frame.kind} is not canonical`);
  return 1;
}

function allowing<Value>(
  allowed: new (...args: never[]) => Error,
  decode: () => Value,
): Value | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof allowed) return undefined;
    throw error;
  }
}
