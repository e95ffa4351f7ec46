import { expect, test } from "bun:test";
import fc from "fast-check";
import { WireError } from "../../src/protocol/errors.ts";
import { type Frame, FrameDecoder, type FrameType, frameTypes } from "../../src/protocol/frame.ts";
import {
  type ClientFrame,
  decodeClientFrame,
  decodeServerFrame,
  encodeSessionFrame,
  type ServerFrame,
} from "../../src/protocol/session-frame.ts";
import { clientFrames, serverFrames } from "../support/arbitraries.ts";
import { seeded } from "../support/seed.ts";
import { readVectors, withHex } from "../support/vectors.ts";

const vectors = readVectors("session.txt");
const good = vectors.filter((vector) => vector.refused === undefined);
const bad = vectors.filter((vector) => vector.refused !== undefined);
const clientTypes: ReadonlySet<number> = new Set([
  frameTypes.stdin,
  frameTypes.stdinEnd,
  frameTypes.resize,
  frameTypes.signal,
  frameTypes.outputAck,
  frameTypes.exitAck,
]);

test.each(good)("vector: $name", ({ bytes, value }) => {
  expect(withHex(decodeEither(only(bytes)))).toEqual(value);
});

test.each(bad)("vector: $name is refused", ({ bytes, refused = "" }) => {
  expect(() => decodeEither(only(bytes))).toThrow(WireError);
  expect(() => decodeEither(only(bytes))).toThrow(refused);
});

test("encodeSessionFrame gives the bytes of the vectors", () => {
  for (const { name, bytes, value } of good) {
    if (name.includes("later version")) continue;
    const frame = decodeEither(only(bytes));
    if (frame.kind === "error") throw new Error("No vector of this file is an error");
    expect([name, hex(encodeSessionFrame(frame))]).toEqual([name, hex(bytes)]);
    expect(value).toBeDefined();
  }
});

test("every session frame type has a vector", () => {
  const seen = new Set(good.map((vector) => vector.bytes[0] ?? 0));
  const session = Object.values(frameTypes).filter((type) => type >= 0x10 && type < 0x20);
  expect(session.filter((type) => !seen.has(type))).toEqual([]);
});

test("client frames round trip", () => {
  fc.assert(
    fc.property(clientFrames, (frame) => {
      expect(withHex(decodeClientFrame(only(encodeSessionFrame(frame))))).toEqual(withHex(frame));
    }),
    seeded(2000),
  );
});

test("server frames round trip", () => {
  fc.assert(
    fc.property(serverFrames, (frame) => {
      expect(withHex(decodeServerFrame(only(encodeSessionFrame(frame))))).toEqual(withHex(frame));
    }),
    seeded(2000),
  );
});

test("a side refuses the other side's frames", () => {
  fc.assert(
    fc.property(clientFrames, serverFrames, (client, server) => {
      expect(() => decodeServerFrame(only(encodeSessionFrame(client)))).toThrow(WireError);
      expect(() => decodeClientFrame(only(encodeSessionFrame(server)))).toThrow(WireError);
    }),
    seeded(300),
  );
});

test("arbitrary payloads give a frame that encodes to the same bytes, or a WireError", () => {
  const types = fc.constantFrom(...Object.values(frameTypes));
  fc.assert(
    fc.property(types, fc.uint8Array({ maxLength: 24 }), (type: FrameType, payload) => {
      let frame: ClientFrame | ServerFrame;
      try {
        frame = decodeEither({ type, payload });
      } catch (error) {
        expect(error).toBeInstanceOf(WireError);
        return;
      }
      if (frame.kind === "exit" || frame.kind === "error") return;
      expect(hex(only(encodeSessionFrame(frame)).payload)).toBe(hex(payload));
    }),
    seeded(20_000),
  );
});

test("encodeSessionFrame refuses what the layout cannot hold", () => {
  const bytes = Uint8Array.of(1);
  const wrong: ClientFrame[] = [
    { kind: "stdin", offset: -1, bytes },
    { kind: "stdin", offset: 2 ** 53, bytes },
    { kind: "stdin", offset: 0.5, bytes },
    { kind: "stdin", offset: 0, bytes: new Uint8Array(64 * 1024 + 1) },
    { kind: "resize", rows: 65_536, cols: 1 },
    { kind: "signal", signal: 256 },
  ];
  for (const frame of wrong) expect(() => encodeSessionFrame(frame)).toThrow(RangeError);
});

function decodeEither(frame: Frame): ClientFrame | ServerFrame {
  return clientTypes.has(frame.type) ? decodeClientFrame(frame) : decodeServerFrame(frame);
}

function only(bytes: Uint8Array): Frame {
  const decoder = new FrameDecoder();
  decoder.feed(bytes);
  const frame = decoder.next();
  if (frame === undefined) throw new Error("Not a whole frame");
  return frame;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
