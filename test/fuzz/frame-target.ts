import fc from "fast-check";
import { WireError } from "../../src/protocol/errors.ts";
import { encodeFrame, type Frame, FrameDecoder, type FrameType } from "../../src/protocol/frame.ts";
import { limits } from "../../src/protocol/limits.ts";
import { encodeJson } from "../../src/protocol/message.ts";
import {
  type ClientFrame,
  decodeClientFrame,
  decodeServerFrame,
  encodeSessionFrame,
  type ServerFrame,
} from "../../src/protocol/session-frame.ts";
import { allocatedBytes } from "../support/allocation.ts";
import { clientFrames, frameLikeBytes, serverFrames } from "../support/arbitraries.ts";
import { allowing, type FuzzTarget, isSampled, someSlices } from "../support/fuzz.ts";
import { sampled } from "../support/seed.ts";
import { readVectors } from "../support/vectors.ts";

const vectors = ["session.txt", "frame.txt", "provision.txt", "reply.txt"].flatMap((file) =>
  readVectors(file).map(({ bytes }) => bytes),
);

/** Frame headers: the same frames for every cut, written as they were read, without memory for promises. */
export const frames: FuzzTarget = {
  name: "frames",
  runs: 800_000,
  planned: 5_000_000,
  corpus: (random) => [
    ...vectors,
    ...sampled(random, frameLikeBytes, 300),
    ...sampled(random, fc.array(serverFrames, { maxLength: 4 }), 200).map((list) =>
      Buffer.concat(list.map(encodeSessionFrame)),
    ),
  ],
  check: (bytes) => {
    const whole = decoded([bytes]);
    const cut = decoded(someSlices(bytes));
    if (cut.error !== whole.error || cut.frames.length !== whole.frames.length)
      throw new Error(`cut otherwise: ${cut.error}, whole: ${whole.error}`);
    let at = 0;
    for (const [index, frame] of whole.frames.entries()) {
      const again = encodeFrame(frame.type, frame.payload);
      const from = bytes.subarray(at, at + again.length);
      const other = cut.frames[index]?.payload ?? new Uint8Array(0);
      if (Buffer.compare(again, from) !== 0 || Buffer.compare(other, frame.payload) !== 0)
        throw new Error(`frame ${index} is not what was sent`);
      at += again.length;
    }
    if (isSampled(bytes, 64)) checkAllocation(bytes);
    return whole.frames.length > 0;
  },
};

function decoded(slices: readonly Uint8Array[]): { frames: Frame[]; error: string | undefined } {
  const decoder = new FrameDecoder();
  const found: Frame[] = [];
  try {
    for (const slice of slices) {
      decoder.feed(slice);
      for (let next = decoder.next(); next !== undefined; next = decoder.next()) found.push(next);
    }
    return { frames: found, error: undefined };
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return { frames: found, error: error.message };
  }
}

function checkAllocation(bytes: Uint8Array): void {
  const slices = someSlices(bytes);
  const used = allocatedBytes(() => decoded(slices));
  if (used > 4 * bytes.length + 4096) throw new Error(`${used} bytes for ${bytes.length}`);
}

/** Frames of sessions, by either side's decoder: numbers in range, gaps forward, one spelling for each value. */
export const sessionFrames: FuzzTarget = {
  name: "session frames",
  runs: 2_500_000,
  planned: 5_000_000,
  corpus: (random) => [
    ...vectors,
    ...sampled(random, clientFrames, 300).map(encodeSessionFrame),
    ...sampled(random, serverFrames, 300).map(encodeSessionFrame),
  ],
  check: (bytes) => {
    const frame = { type: (bytes[0] ?? 0) as FrameType, payload: bytes.subarray(5) };
    const fromClient = allowing(WireError, () => decodeClientFrame(frame));
    const fromServer = allowing(WireError, () => decodeServerFrame(frame));
    if (fromClient !== undefined && fromServer !== undefined)
      throw new Error(`${fromClient.kind} comes from both sides`);
    const read = fromClient ?? fromServer;
    if (read !== undefined) checkSessionFrame(frame, read);
    return read !== undefined;
  },
};

function checkSessionFrame(raw: Frame, frame: ClientFrame | ServerFrame): void {
  for (const value of Object.values(frame))
    if (typeof value === "number" && (!Number.isSafeInteger(value) || value < 0))
      throw new RangeError(`${value} came out of ${frame.kind}`);
  if ("bytes" in frame && frame.offset + frame.bytes.length > limits.offsetMax)
    throw new RangeError("data beyond the last offset");
  if (frame.kind === "gap" && frame.to <= frame.from) throw new RangeError("a gap backwards");
  if (frame.kind === "error") return;
  if (frame.kind === "exit") {
    // JSON has many spellings: the value must survive its own.
    const again = decodeServerFrame({ ...raw, payload: encodeJson(frame.exit) });
    if (JSON.stringify(again) !== JSON.stringify(frame)) throw new Error("exit changes");
    return;
  }
  const again = encodeSessionFrame(frame).subarray(5);
  if (Buffer.compare(again, raw.payload) !== 0) throw new Error(`${frame.kind} is not canonical`);
}
