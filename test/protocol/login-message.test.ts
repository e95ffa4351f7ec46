import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { WireError } from "../../src/protocol/errors.ts";
import { limits } from "../../src/protocol/limits.ts";
import {
  encodeLoginMessage,
  type LoginMessage,
  LoginMessageDecoder,
  type LoginMessageKind,
} from "../../src/protocol/login-message.ts";
import { seeded } from "../support/seed.ts";
import vectors from "../vectors/login.json";

const all: LoginMessageKind[] = ["hello", "evidence", "proof", "accept"];

describe("vectors", () => {
  for (const login of vectors.logins) {
    const messages: Record<LoginMessageKind, LoginMessage> = {
      hello: {
        kind: "hello",
        version: login.version,
        nonce: hex(login.client_nonce),
        features: login.client_features,
      },
      evidence: {
        kind: "evidence",
        nonce: hex(login.server_nonce),
        features: login.server_features,
        jwt: hex(login.jwt),
      },
      proof: { kind: "proof", proof: hex(login.client_proof) },
      accept: {
        kind: "accept",
        proof: hex(login.server_proof),
        parameters: new TextEncoder().encode(login.parameters),
      },
    };
    for (const kind of all) {
      test(`${login.name}: ${kind}`, () => {
        expect(encodeLoginMessage(messages[kind]).toHex()).toBe(login.messages[kind]);
        expect(new LoginMessageDecoder(all).push(hex(login.messages[kind]))).toEqual([
          messages[kind],
        ]);
      });
    }
  }

  for (const malformed of vectors.malformed) {
    test(`LoginMessageDecoder refuses ${malformed.name} by its header alone`, () => {
      const kinds = malformed.receives as LoginMessageKind[];
      expect(() => new LoginMessageDecoder(kinds).push(hex(malformed.bytes))).toThrow(WireError);
    });
  }
});

const bytes = (min: number, max: number) => fc.uint8Array({ minLength: min, maxLength: max });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const message: fc.Arbitrary<LoginMessage> = fc.oneof(
  fc.record({
    kind: fc.constant("hello" as const),
    version: fc.integer({ min: 0, max: 255 }),
    nonce: bytes(32, 32),
    features: u32,
  }),
  fc.record({
    kind: fc.constant("evidence" as const),
    nonce: bytes(32, 32),
    features: u32,
    jwt: bytes(1, limits.jwtBytesMax),
  }),
  fc.record({ kind: fc.constant("proof" as const), proof: bytes(32, 32) }),
  fc.record({
    kind: fc.constant("accept" as const),
    proof: bytes(32, 32),
    parameters: bytes(1, 1024),
  }),
);

describe("properties", () => {
  test("messages survive any cut into slices", () => {
    const property = fc.property(
      fc.array(message, { maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1 }),
      (messages, cuts) => {
        const stream = Buffer.concat(messages.map((each) => encodeLoginMessage(each)));
        const decoder = new LoginMessageDecoder(all);
        const decoded: LoginMessage[] = [];
        for (let at = 0, turn = 0; at < stream.length; turn += 1) {
          const length = cuts[turn % cuts.length] ?? 1;
          decoded.push(...decoder.push(stream.subarray(at, at + length)));
          at += length;
        }
        expect(decoded).toEqual(messages);
        expect(decoder.idle).toBe(true);
      },
    );
    fc.assert(property, seeded(200));
  });

  test("arbitrary bytes give messages or a WireError, and never one of the other direction", () => {
    const property = fc.property(bytes(0, 300), fc.constantFrom(...all), (garbage, kind) => {
      try {
        for (const each of new LoginMessageDecoder([kind]).push(garbage))
          expect(each.kind).toBe(kind);
      } catch (error) {
        expect(error).toBeInstanceOf(WireError);
      }
    });
    fc.assert(property, seeded(2000));
  });
});

test("encodeLoginMessage refuses what no decoder would take", () => {
  const proof = new Uint8Array(31);
  expect(() => encodeLoginMessage({ kind: "proof", proof })).toThrow(RangeError);
  const nonce = new Uint8Array(32);
  const jwt = new Uint8Array(limits.jwtBytesMax + 1);
  expect(() => encodeLoginMessage({ kind: "evidence", nonce, features: 0, jwt })).toThrow(
    RangeError,
  );
  const parameters = new Uint8Array(1025);
  expect(() => encodeLoginMessage({ kind: "accept", proof: nonce, parameters })).toThrow(
    RangeError,
  );
});

function hex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.fromHex(text);
}
