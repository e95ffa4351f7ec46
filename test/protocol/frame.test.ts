import { expect, test } from "bun:test";
import fc from "fast-check";
import { WireError } from "../../src/protocol/errors.ts";
import {
  encodeFrame,
  type Frame,
  FrameDecoder,
  FrameStream,
  type FrameType,
  frameTypes,
} from "../../src/protocol/frame.ts";
import { limits } from "../../src/protocol/limits.ts";
import { allocatedBytes } from "../support/allocation.ts";
import { cutAt, frameLikeBytes } from "../support/arbitraries.ts";
import { memoryPair } from "../support/memory-stream.ts";
import { rejection } from "../support/rejection.ts";
import { seeded } from "../support/seed.ts";
import { readVectors } from "../support/vectors.ts";

const types: FrameType[] = Object.values(frameTypes);
const payloadMax: Record<FrameType, number> = {
  [frameTypes.request]: limits.requestBytesMax,
  [frameTypes.ok]: limits.replyBytesMax,
  [frameTypes.error]: limits.errorBytesMax,
  [frameTypes.stdin]: 8 + limits.dataBytesMax,
  [frameTypes.stdout]: 8 + limits.dataBytesMax,
  [frameTypes.stderr]: 8 + limits.dataBytesMax,
  [frameTypes.stdinEnd]: 8,
  [frameTypes.resize]: 4,
  [frameTypes.signal]: 1,
  [frameTypes.exit]: limits.controlBytesMax,
  [frameTypes.exitAck]: 0,
  [frameTypes.gap]: 17,
  [frameTypes.stdinAck]: 8,
  [frameTypes.outputAck]: 9,
  [frameTypes.data]: limits.dataBytesMax + 8,
  [frameTypes.dataEnd]: 0,
  [frameTypes.progress]: limits.controlBytesMax,
  [frameTypes.done]: limits.replyBytesMax,
  [frameTypes.lacking]: limits.lackingBytesMax,
  [frameTypes.datagram]: limits.datagramBytesMax,
  [frameTypes.incoming]: limits.controlBytesMax,
  [frameTypes.listenEnd]: 0,
  [frameTypes.ports]: limits.portsBytesMax,
  [frameTypes.fileJob]: limits.requestBytesMax,
  [frameTypes.fileTotal]: 16,
  [frameTypes.fileEntry]: limits.fileEntryBytesMax,
  [frameTypes.fileLeave]: 4,
  [frameTypes.fileAll]: 0,
  [frameTypes.fileStart]: 12,
  [frameTypes.fileContent]: 12 + limits.fileContentBytesMax,
  [frameTypes.fileHole]: 20,
  [frameTypes.fileSame]: 28,
  [frameTypes.fileEnd]: 48,
  [frameTypes.fileFailed]: limits.controlBytesMax,
  [frameTypes.fileChunks]: 4 + limits.fileChunksPerFrameMax * 20,
  [frameTypes.fileWant]: 45,
  [frameTypes.fileDone]: 5,
  [frameTypes.fileFinished]: 0,
  [frameTypes.fileWhole]: 8 + limits.fileWholeBytesMax,
  [frameTypes.sshData]: limits.dataBytesMax + 8,
  [frameTypes.sshAck]: 8,
  [frameTypes.sshEnd]: 8,
  [frameTypes.agentData]: limits.dataBytesMax + 4,
  [frameTypes.agentEnd]: 4,
};

test.each(readVectors("frame.txt"))("vector: $name", async ({ bytes, refused = "" }) => {
  const pair = memoryPair();
  await pair.far.write(bytes);
  await pair.far.end();
  const error = await rejection(new FrameStream(pair.near).read());
  expect(error).toBeInstanceOf(WireError);
  expect(error.message).toContain(refused);
});

test.each(types)("frame 0x%x passes at its maximum and is refused one byte above", (type) => {
  const largest = encodeFrame(type, new Uint8Array(payloadMax[type]));
  expect(decode([largest]).frames.map((frame) => frame.payload.length)).toEqual([payloadMax[type]]);
  expect(() => encodeFrame(type, new Uint8Array(payloadMax[type] + 1))).toThrow(RangeError);
  const above = largest.slice(0, 5);
  new DataView(above.buffer).setUint32(1, payloadMax[type] + 1);
  expect(decode([above]).error).toBeInstanceOf(WireError);
});

const frameLists = fc.array(
  fc.tuple(fc.constantFrom(...types), fc.uint8Array({ maxLength: 6000 })).map(([type, bytes]) => ({
    type,
    payload: bytes.subarray(0, payloadMax[type]),
  })),
  { maxLength: 8 },
);

test("frames come back as they were, however the bytes are cut", () => {
  fc.assert(
    fc.property(frameLists, fc.array(fc.nat(40_000)), (sent, cuts) => {
      const bytes = concat(sent.map((frame) => encodeFrame(frame.type, frame.payload)));
      expect(plain(decode(cutAt(bytes, cuts)).frames)).toEqual(plain(sent));
    }),
    seeded(1000),
  );
});

test("frames come back one byte at a time", () => {
  fc.assert(
    fc.property(frameLists, (sent) => {
      const bytes = concat(sent.map((frame) => encodeFrame(frame.type, frame.payload)));
      const slices = Array.from(bytes, (byte) => Uint8Array.of(byte));
      expect(plain(decode(slices).frames)).toEqual(plain(sent));
    }),
    seeded(100),
  );
});

test("arbitrary bytes give frames or a WireError, the same for every cut", () => {
  let refused = 0;
  let accepted = 0;
  fc.assert(
    fc.property(frameLikeBytes, fc.array(fc.nat(400)), (bytes, cuts) => {
      const whole = decode([bytes]);
      const cut = decode(cutAt(bytes, cuts));
      expect(plain(cut.frames)).toEqual(plain(whole.frames));
      expect(cut.error?.message).toEqual(whole.error?.message);
      if (whole.error !== undefined) expect(whole.error).toBeInstanceOf(WireError);
      refused += whole.error === undefined ? 0 : 1;
      accepted += whole.frames.length;
    }),
    seeded(5000),
  );
  expect([refused, accepted].every((count) => count > 1000)).toBe(true);
});

test("decoding allocates at most four times what came in, and 4 KiB", () => {
  fc.assert(
    fc.property(frameLikeBytes, fc.array(fc.nat(400)), (bytes, cuts) => {
      const slices = cutAt(bytes, cuts);
      expect(allocatedBytes(() => decode(slices))).toBeLessThanOrEqual(4 * bytes.length + 4096);
    }),
    seeded(3000),
  );
});

test("a large frame in small slices allocates at most four times its size", () => {
  const bytes = encodeFrame(frameTypes.ok, new Uint8Array(limits.replyBytesMax));
  const slices = cutAt(
    bytes,
    Array.from({ length: 800 }, (_, index) => index * 1350),
  );
  expect(allocatedBytes(() => decode(slices))).toBeLessThanOrEqual(4 * bytes.length + 4096);
});

test("a header that announces a megabyte costs no megabyte", () => {
  const header = encodeFrame(frameTypes.ok, new Uint8Array(limits.replyBytesMax)).slice(0, 6);
  expect(allocatedBytes(() => decode([header]))).toBeLessThanOrEqual(4096 + 64);
});

test("a small payload does not keep a large slice alive", () => {
  const slice = concat(
    Array.from({ length: 1000 }, () => encodeFrame(frameTypes.signal, Uint8Array.of(9))),
  );
  for (const frame of decode([slice]).frames) expect(frame.payload.buffer.byteLength).toBe(1);
});

test("a payload that is most of its slice is a view, not a copy", () => {
  const slice = encodeFrame(frameTypes.data, new Uint8Array(1000));
  const [frame] = decode([slice]).frames;
  expect(frame?.payload.buffer).toBe(slice.buffer);
});

test("a decoder that lends gives the same frames, and room for the largest alone", () => {
  fc.assert(
    fc.property(frameLists, fc.array(fc.nat(40_000)), (sent, cuts) => {
      const bytes = concat(sent.map((frame) => encodeFrame(frame.type, frame.payload)));
      const decoder = new FrameDecoder({ lends: true });
      const read: Frame[] = [];
      for (const slice of cutAt(bytes, cuts)) {
        decoder.feed(slice);
        for (let frame = decoder.next(); frame !== undefined; frame = decoder.next())
          read.push({ type: frame.type, payload: frame.payload.slice() });
        slice.fill(0xee);
      }
      expect(plain(read)).toEqual(plain(sent));
    }),
    seeded(300),
  );
  const large = encodeFrame(frameTypes.ok, new Uint8Array(100_000));
  const decoder = new FrameDecoder({ lends: true });
  const readIt = (): Frame | undefined => {
    decoder.feed(large.slice(0, 50_000));
    decoder.next();
    decoder.feed(large.slice(50_000));
    return decoder.next();
  };
  const { buffer } = readIt()?.payload ?? {};
  expect(readIt()?.payload.buffer).toBe(buffer);
});

test("FrameStream.arrived gives what is here whole, and read goes on behind it", async () => {
  const pair = memoryPair();
  const frames = new FrameStream(pair.near);
  const bytes = encodeFrame(frameTypes.signal, Uint8Array.of(9));
  expect(frames.arrived()).toBeUndefined();
  await pair.far.write(concat([bytes, bytes, bytes.subarray(0, 3)]));
  expect(await frames.read()).not.toBeNull();
  expect(frames.arrived()?.type).toBe(frameTypes.signal);
  expect(frames.arrived()).toBeUndefined();
  await pair.far.write(bytes.subarray(3));
  expect((await frames.read())?.payload).toEqual(Uint8Array.of(9));
});

test("FrameStream.read gives null at an end between frames and refuses one within", async () => {
  const clean = memoryPair();
  await new FrameStream(clean.far).write(frameTypes.signal, Uint8Array.of(2));
  await clean.far.end();
  const reader = new FrameStream(clean.near);
  expect(await reader.read()).toEqual({ type: frameTypes.signal, payload: Uint8Array.of(2) });
  expect(await reader.read()).toBeNull();

  const cut = memoryPair();
  await cut.far.write(encodeFrame(frameTypes.signal, Uint8Array.of(2)).subarray(0, 5));
  await cut.far.end();
  expect(await rejection(new FrameStream(cut.near).read())).toBeInstanceOf(WireError);
});

test("FrameStream.release goes on raw, and loses nothing that came with the last frame", async () => {
  const pair = memoryPair();
  const early = concat([encodeFrame(frameTypes.ok, Uint8Array.of(1)), Uint8Array.of(5, 6, 7)]);
  await pair.far.write(early);
  const frames = new FrameStream(pair.near);
  expect((await frames.read())?.type).toBe(frameTypes.ok);
  const raw = frames.release();
  expect(await raw.read()).toEqual(Uint8Array.of(5, 6, 7));
  await pair.far.write(Uint8Array.of(8));
  expect(await raw.read()).toEqual(Uint8Array.of(8));
  await raw.write(Uint8Array.of(9));
  await raw.end();
  expect(await pair.far.read()).toEqual(Uint8Array.of(9));
  expect(await pair.far.read()).toBeNull();
  pair.far.abort(3);
  expect(await rejection(raw.read())).toMatchObject({ kind: "reset", resetCode: 3 });
});

test("FrameStream.release after a frame that came alone waits for what comes next", async () => {
  const pair = memoryPair();
  await pair.far.write(encodeFrame(frameTypes.ok, new Uint8Array(0)));
  const frames = new FrameStream(pair.near);
  await frames.read();
  await pair.far.end();
  expect(await frames.release().read()).toBeNull();
});

function decode(slices: readonly Uint8Array[]): { frames: Frame[]; error?: Error } {
  const decoder = new FrameDecoder();
  const decoded: Frame[] = [];
  try {
    for (const slice of slices) {
      decoder.feed(slice);
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next())
        decoded.push(frame);
    }
    return { frames: decoded };
  } catch (error) {
    if (error instanceof Error) return { frames: decoded, error };
    throw error;
  }
}

function plain(list: readonly Frame[]): unknown[] {
  return list.map((frame) => [frame.type, Buffer.from(frame.payload).toString("hex")]);
}

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(pieces));
}
