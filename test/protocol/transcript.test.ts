import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { digests } from "../../src/fly/digests.ts";
import * as transcript from "../../src/protocol/transcript.ts";
import { seeded } from "../support/seed.ts";
import vectors from "../vectors/login.json";

for (const login of vectors.logins) {
  test(`vector: ${login.name}`, () => {
    const channel = {
      alpn: login.alpn,
      certificate: hex(login.certificate),
      binding: hex(login.binding),
    };
    const machine = { appName: login.app, machineId: login.machine };
    const nonces = { client: hex(login.client_nonce), server: hex(login.server_nonce) };
    const bytes = transcript.attestationTranscript(channel, machine, nonces, digests);
    expect(bytes.toHex()).toBe(login.transcript);
    expect(transcript.attestationAudience(bytes, digests)).toBe(login.audience);
    expect(login.audience).toMatch(/^fv1\.[A-Za-z0-9_-]{43}$/);
    const features = {
      version: login.version,
      client: login.client_features,
      server: login.server_features,
    };
    const hash = transcript.transcriptHash(bytes, hex(login.jwt), features, digests);
    expect(hash.toHex()).toBe(login.transcript_hash);
    const key = vectors.keys[login.key];
    const keys = { client: hex(key?.client_key ?? ""), server: hex(key?.server_key ?? "") };
    const proof = transcript.clientProof(keys, hash, digests);
    expect(proof.toHex()).toBe(login.client_proof);
    expect(transcript.serverProof(keys, hash, proof, digests).toHex()).toBe(login.server_proof);
  });
}

describe("attestationTranscript", () => {
  test("no two logins have the same bytes", () => {
    const field = fc.uint8Array({ maxLength: 4 });
    const name = fc.string({ maxLength: 3 });
    const login = fc.tuple(name, name, name, field, field, field, field);
    const property = fc.property(login, login, (one, other) => {
      // Sets of fields that differ anywhere, also by moving bytes over a border, differ in T.
      const same = JSON.stringify(one) === JSON.stringify(other);
      expect(encode(one).toHex() === encode(other).toHex()).toBe(same);
    });
    fc.assert(property, seeded(1000));
    const moved = encode(["ab", "c", "", empty, empty, empty, empty]);
    expect(moved).not.toEqual(encode(["a", "bc", "", empty, empty, empty, empty]));
  });

  test("refuses a field above 1024 bytes", () => {
    const long = "x".repeat(1025);
    expect(() => encode(["a", long, "m", empty, empty, empty, empty])).toThrow(RangeError);
  });
});

type Fields = [string, string, string, Uint8Array, Uint8Array, Uint8Array, Uint8Array];

const empty = new Uint8Array();

function encode(fields: Fields): Uint8Array {
  const [alpn, appName, machineId, certificate, binding, client, server] = fields;
  const channel = { alpn, certificate, binding };
  return transcript.attestationTranscript(
    channel,
    { appName, machineId },
    { client, server },
    digests,
  );
}

function hex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.fromHex(text);
}

test("docs/login.md quotes the vectors", async () => {
  const page = await Bun.file(`${import.meta.dir}/../../docs/login.md`).text();
  const [first] = vectors.logins;
  for (const value of [first?.audience, first?.transcript_hash, first?.client_proof])
    expect(page).toContain(value ?? "nothing");
});
