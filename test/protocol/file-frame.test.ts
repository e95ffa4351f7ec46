import { expect, test } from "bun:test";
import fc from "fast-check";
import { WireError } from "../../src/protocol/errors.ts";
import { decodeFileMessage, encodeFileMessage } from "../../src/protocol/file-frame.ts";
import type { FileMessage } from "../../src/protocol/file-message.ts";
import { type Frame, FrameDecoder } from "../../src/protocol/frame.ts";
import { limits } from "../../src/protocol/limits.ts";
import { seeded } from "../support/seed.ts";
import { readVectors, withHex } from "../support/vectors.ts";

test.each(readVectors("copy.txt"))("vector: $name", ({ bytes, value, refused }) => {
  if (refused !== undefined) {
    expect(() => decodeFileMessage(only(bytes))).toThrow(refused);
    expect(() => decodeFileMessage(only(bytes))).toThrow(WireError);
    return;
  }
  const message = decodeFileMessage(only(bytes));
  expect(JSON.parse(JSON.stringify(withHex(message))) as unknown).toEqual(value);
  expect(Buffer.from(encodeFileMessage(message)).equals(Buffer.from(bytes))).toBe(true);
});

const id = fc.nat(0xffff_ffff);
const offset = fc.maxSafeNat();
const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const stretch = fc.integer({ min: 1, max: limits.fileHoleBytesMax });
const name = fc
  .uint8Array({ minLength: 1, maxLength: 255 })
  .filter((bytes) => !bytes.includes(0) && !bytes.includes(0x2f) && bytes[0] !== 0x2e);
const facts = {
  id,
  parent: id,
  mode: fc.nat(0o7777),
  seconds: fc.integer({ min: -(2 ** 35), max: 2 ** 35 }),
  nanoseconds: fc.nat(999_999_999),
  size: offset,
  digest: fc.option(bytesOf(32), { nil: undefined }),
  name,
};
const noTarget = fc.constant(new Uint8Array(0));
const entry = fc.oneof(
  fc.record({
    ...facts,
    kind: fc.constantFrom("folder" as const, "file" as const),
    target: noTarget,
  }),
  fc.record({
    ...facts,
    kind: fc.constant("link" as const),
    target: fc.uint8Array({ minLength: 1, maxLength: 4096 }).filter((bytes) => !bytes.includes(0)),
  }),
);
const messages: fc.Arbitrary<FileMessage> = fc.oneof(
  fc.record({ type: fc.constant("total" as const), files: offset, bytes: offset }),
  fc.record({ type: fc.constant("entry" as const), entry }),
  fc.record({ type: fc.constant("leave" as const), id }),
  fc.constant({ type: "all" as const }),
  fc.record({ type: fc.constant("start" as const), id, offset }),
  fc.record({
    type: fc.constant("content" as const),
    id,
    offset,
    bytes: fc.uint8Array({ maxLength: 300 }),
  }),
  fc.record({ type: fc.constant("hole" as const), id, offset, length: stretch }),
  fc.record({
    type: fc.constant("same" as const),
    id,
    offset,
    baseOffset: offset,
    length: stretch,
  }),
  fc.record({
    type: fc.constant("whole" as const),
    id,
    crc32: id,
    bytes: fc.uint8Array({ maxLength: 300 }),
  }),
  fc.record({
    type: fc.constant("end" as const),
    id,
    size: offset,
    crc32: id,
    sha256: fc.option(bytesOf(32), { nil: undefined }),
  }),
  fc.record({
    type: fc.constant("failed" as const),
    id,
    code: fc.constantFrom("missing" as const, "io" as const),
    message: fc.string(),
  }),
  fc.record({
    type: fc.constant("chunks" as const),
    id,
    chunks: fc.array(fc.record({ length: fc.nat(0xffff_ffff), digest: bytesOf(16) }), {
      maxLength: 20,
    }),
  }),
  fc.record({
    type: fc.constant("want" as const),
    id,
    offset,
    sha256: bytesOf(32),
    averageBits: fc.nat(255),
  }),
  fc.record({
    type: fc.constant("want" as const),
    id,
    offset: fc.constant(0),
    sha256: fc.constant(undefined),
    averageBits: fc.nat(255),
  }),
  fc.record({
    type: fc.constant("done" as const),
    id,
    outcome: fc.constantFrom(
      "written" as const,
      "same" as const,
      "kept" as const,
      "skipped" as const,
    ),
  }),
  fc.constant({ type: "finished" as const }),
);

test("every message is read as it was written", () => {
  fc.assert(
    fc.property(messages, (message) => {
      expect(withHex(decodeFileMessage(only(encodeFileMessage(message))))).toEqual(
        withHex(message),
      );
    }),
    seeded(300),
  );
});

test("nothing but content is a part of the memory it was read from", () => {
  fc.assert(
    fc.property(messages, (message) => {
      const { type, payload } = only(encodeFileMessage(message));
      const memory = Buffer.from(payload);
      const read = decodeFileMessage({ type, payload: memory });
      fc.pre(read.type !== "content" && read.type !== "whole");
      memory.fill(0xee);
      expect(withHex(read)).toEqual(withHex(message));
    }),
    seeded(300),
  );
});

test("a message that is cut short or has a byte changed is read or refused, nothing else", () => {
  fc.assert(
    fc.property(messages, fc.nat(), fc.nat(255), (message, at, byte) => {
      const { type, payload } = only(encodeFileMessage(message));
      const damaged = payload.slice(0, payload.length - (at % 3));
      if (damaged.length > 0) damaged[at % damaged.length] = byte;
      try {
        decodeFileMessage({ type, payload: damaged });
      } catch (error) {
        expect(error).toBeInstanceOf(WireError);
      }
    }),
    seeded(300),
  );
});

test('"." names the destination itself, and nothing below it', () => {
  const top = {
    id: 1,
    parent: 0,
    kind: "folder",
    mode: 0o755,
    seconds: 0,
    nanoseconds: 0,
    size: 0,
  } as const;
  const rest = { digest: undefined, name: Buffer.from("."), target: new Uint8Array(0) };
  const at = (parent: number): Frame =>
    only(encodeFileMessage({ type: "entry", entry: { ...top, ...rest, parent } }));
  expect(decodeFileMessage(at(0)).type).toBe("entry");
  expect(() => decodeFileMessage(at(1))).toThrow(WireError);
});

function only(bytes: Uint8Array): Frame {
  const decoder = new FrameDecoder();
  decoder.feed(bytes.slice());
  const frame = decoder.next();
  if (frame === undefined) throw new Error("No frame");
  return frame;
}
