import { expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import fc from "fast-check";
import { checkDescriptorPath } from "../../src/quic/argument.ts";
import { selfSignedCertificate } from "../../src/quic/certificate.ts";
import { directConnectionIds } from "../../src/quic/connection-id.ts";
import { exportKeyingMaterial } from "../../src/quic/exporter.ts";
import { admitsStranger } from "../../src/quic/half-open.ts";
import { openKeylog } from "../../src/quic/keylog.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import { looseMessage, openLooseMessage } from "../../src/quic/loose-message.ts";
import { PeerAddress } from "../../src/quic/peer-address.ts";
import type { SocketAddress } from "../../src/quic/connection.ts";
import { RetryTokens } from "../../src/quic/retry-token.ts";
import { RouteTable } from "../../src/quic/route-table.ts";
import { canonicalHost, writeSocketAddress } from "../../src/quic/socket-address.ts";
import { seeded } from "../support/seed.ts";

/** Made with `openssl s_client -keymatexport EXPORTER-Channel-Binding -keylogfile`. */
const exporterVectors = [
  [
    "c22390f467c98aaf33700ffd6abd0a67357b337518bcdc305a4045fcb8735816",
    "b9058be91697503ff7c3d604b913b348f5985d9933b7d413d67dabc498d3eb24",
  ],
  [
    "bb322d77d93b223ffb0d0d4440ec20ef89594bf2a5886d8cd4651d1852e17cc4be7bf48ce89fe5b43cb03c459cc8e8c3",
    "6afda96094b3d491fab041c194e59b95c72b033d7352132f222207272aba16a2",
  ],
] as const;

test.each(exporterVectors)("the exporter agrees with OpenSSL (%#)", (secret, expected) => {
  const bytes = Buffer.from(secret, "hex");
  const got = exportKeyingMaterial(bytes, "EXPORTER-Channel-Binding", 32);
  expect(Buffer.from(got).toString("hex")).toBe(expected);
  expect(() => exportKeyingMaterial(bytes.subarray(1), "x", 32)).toThrow(RangeError);
});

const randoms = "00".repeat(32);
const secretLine = `EXPORTER_SECRET ${randoms} ${exporterVectors[0][0]}\n`;

test.each(["linux", "darwin"] as const)("the keylog of %s yields the binding", (platform) => {
  const keylog = openKeylog(platform);
  expect(checkDescriptorPath("keylog", keylog.path)).toBe(keylog.path);
  writeFileSync(keylog.path, `CLIENT_TRAFFIC_SECRET_0 ${randoms} 00\n${secretLine}`);
  const binding = keylog.exports()?.channelBinding ?? [];
  expect(Buffer.from(binding).toString("hex")).toBe(exporterVectors[0][1]);
  keylog.close();
  keylog.close();
});

test.each(["", "EXPORTER_SECRET", secretLine.slice(0, -1), secretLine.replace("c2", "zz")])(
  "a keylog without the whole secret yields nothing (%#)",
  (text) => {
    const keylog = openKeylog();
    writeFileSync(keylog.path, text);
    expect(keylog.exports()).toBeNull();
    keylog.close();
  },
);

test("key material never goes to a file with a name", () => {
  for (const path of ["/tmp/x", "/proc/self/fd/1/../2", "/proc/1/fd/3", "/dev/fd/", "x"]) {
    expect(() => checkDescriptorPath("keylog", path)).toThrow(RangeError);
  }
});

test("the certificate is well-formed, signed by itself and fresh each time", () => {
  const one = selfSignedCertificate(new Date("2026-11-23T12:00:00Z"));
  const parsed = new X509Certificate(one.certificatePem);
  expect(Buffer.from(one.certificateDer).equals(parsed.raw)).toBe(true);
  expect(parsed.verify(parsed.publicKey)).toBe(true);
  expect(parsed.publicKey.asymmetricKeyDetails?.namedCurve).toBe("prime256v1");
  expect(new Date(parsed.validFrom).getUTCFullYear()).toBe(2025);
  expect(new Date(parsed.validTo).getUTCFullYear()).toBe(2036);
  expect(one.certificateDer.byteLength).toBeLessThan(2048);
  expect(selfSignedCertificate().privateKeyPem).not.toBe(one.privateKeyPem);
});

/** Of a thousand evenly spread chances. */
function share(halfOpen: number): number {
  let admitted = 0;
  for (let step = 0; step < 1000; step++) {
    if (admitsStranger(halfOpen, () => step / 1000)) admitted++;
  }
  return admitted / 1000;
}

test("early drop: nobody below 32, everybody at 256, ever more between", () => {
  expect(share(31)).toBe(1);
  expect(share(32)).toBeCloseTo(0.7, 2);
  expect(share(144)).toBeCloseTo(0.35, 2);
  expect(share(256)).toBe(0);
});

test("a retry token opens for its address, its id and 10 s, and not when changed", () => {
  const tokens = new RetryTokens();
  const from = { host: "127.0.0.1", port: 5 };
  const scid = new Uint8Array(20).fill(1);
  const original = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const token = tokens.seal(original, scid, from, 1000);
  expect(token.byteLength).toBeLessThanOrEqual(quicLimits.retryTokenBytesMax);
  expect(tokens.open(token, scid, from, 11_000)).toEqual(original);
  expect(tokens.open(token, scid, from, 11_001)).toBeNull();
  expect(tokens.open(token, scid, { host: "127.0.0.1", port: 6 }, 1000)).toBeNull();
  expect(tokens.open(token, scid.slice(1), from, 1000)).toBeNull();
  expect(new RetryTokens().open(token, scid, from, 1000)).toBeNull();
  const changes = fc.property(
    fc.nat(token.byteLength - 1),
    fc.integer({ min: 1, max: 255 }),
    (at, flip) => {
      const changed = Uint8Array.from(token);
      changed[at] = (changed[at] ?? 0) ^ flip;
      expect(tokens.open(changed, scid, from, 1000)).toBeNull();
    },
  );
  fc.assert(changes, seeded(100));
});

test("connection ids are known again by their key alone", () => {
  const ids = directConnectionIds(new Uint8Array(32));
  const id = ids.mint();
  expect(id).toHaveLength(20);
  expect(directConnectionIds(new Uint8Array(32)).recognises(id)).toBe(true);
  expect(directConnectionIds(new Uint8Array(32).fill(1)).recognises(id)).toBe(false);
  expect(ids.recognises(id.subarray(1))).toBe(false);
});

function long(id: Uint8Array): Buffer {
  return Buffer.concat([Uint8Array.of(0xc0, 0, 0, 0, 1, id.byteLength), id, Uint8Array.of(0)]);
}

test("routes: own ids by short and long header, foreign ids by long header, and none by accident", () => {
  const routes = new RouteTable<string>();
  const own = directConnectionIds().mint();
  const foreign = Uint8Array.of(9, 8, 7, 6, 5, 4, 3, 2);
  const short = Buffer.concat([Uint8Array.of(0x40), own, Uint8Array.of(1)]);
  routes.addOwn(own, "mine");
  routes.addForeign(foreign, "theirs");
  expect(routes.findShort(short)).toBe("mine");
  expect(routes.findLong(long(own))).toBe("mine");
  expect(routes.findLong(long(foreign))).toBe("theirs");
  const close = Buffer.from(short);
  close[20] = (close[20] ?? 0) ^ 1;
  expect(routes.findShort(close)).toBeUndefined();
  for (let length = 0; length < 20; length++) {
    expect(routes.findShort(short.subarray(0, length))).toBeUndefined();
    expect(routes.findLong(long(own).subarray(0, length))).toBeUndefined();
  }
  routes.removeOwn(own);
  routes.removeForeign(foreign);
  expect(routes.findShort(short)).toBeUndefined();
  expect(routes.findLong(long(foreign))).toBeUndefined();
});

const home = { host: "10.0.0.1", port: 1 };
const cafe = { host: "10.0.0.2", port: 2 };

const wrong = new Uint8Array(8);
const challengeAt = (peer: PeerAddress, from: SocketAddress, nowMs: number): Uint8Array =>
  peer.noteAuthentic(from, nowMs)?.number ?? wrong;

test("a peer moves only by answering, from the new address, the number sent there", () => {
  const peer = new PeerAddress(home);
  const challenge = peer.noteAuthentic(cafe, 0);
  if (challenge === null) throw new Error("No challenge");
  expect(challenge.first).toBe(true);
  expect(peer.noteAuthentic(cafe, 10)).toBeNull();
  expect(peer.noteAuthentic(cafe, 60)).toEqual({ number: challenge.number, first: false });
  expect(peer.current).toEqual(home);
  expect(peer.noteAnswer({ host: "10.0.0.3", port: 2 }, challenge.number, 70)).toBe(false);
  expect(peer.noteAnswer({ host: "10.0.0.2", port: 3 }, challenge.number, 70)).toBe(false);
  expect(peer.noteAnswer(cafe, wrong, 70)).toBe(false);
  expect(new PeerAddress(home).noteAnswer(cafe, challenge.number, 70)).toBe(false);
  expect(peer.current).toEqual(home);
  expect(peer.noteAnswer(cafe, challenge.number, 70)).toBe(true);
  expect(peer.current).toEqual(cafe);
  expect(peer.moves).toBe(1);
  expect(peer.noteAnswer(cafe, challenge.number, 80)).toBe(false);
});

test("candidates are few, and a challenge is answered in its epoch or the next one, whoever came between", () => {
  const { candidatesMax, candidateMs, challengeEpochMs } = quicLimits;
  const peer = new PeerAddress(home);
  const first = challengeAt(peer, cafe, 0);
  for (let port = 100; port < 100 + candidatesMax; port++)
    peer.noteAuthentic({ host: "10.0.0.9", port }, 1);
  // Forgotten, so it is challenged as if it were new.
  expect(peer.noteAuthentic(cafe, 2)).toEqual({ number: first, first: true });
  expect(peer.noteAuthentic(cafe, 2 + candidateMs + 1)).toMatchObject({ first: true });
  expect(peer.noteAnswer(cafe, first, 2 * challengeEpochMs)).toBe(false);
  expect(peer.noteAnswer(cafe, first, 2 * challengeEpochMs - 1)).toBe(true);
});

test("an answer of before the last move moves nothing, and who had no answer yet is challenged anew", () => {
  const train = { host: "10.0.0.3", port: 3 };
  const peer = new PeerAddress(home);
  const [atCafe, onTrain] = [challengeAt(peer, cafe, 0), challengeAt(peer, train, 1)];
  expect(peer.noteAnswer(cafe, atCafe, 2)).toBe(true);
  expect(peer.noteAnswer(train, onTrain, 3)).toBe(false);
  expect(peer.noteAnswer(train, challengeAt(peer, train, 4), 5)).toBe(true);
  expect(peer.noteAnswer(cafe, atCafe, 6)).toBe(false);
  expect(peer.current).toEqual(train);
  expect(peer.moves).toBe(2);
});

test("address messages: 45 bytes, one kind only, one key only", () => {
  const key = new Uint8Array(32).fill(3);
  const number = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const message = looseMessage("challenge", key, new Uint8Array(20), number);
  expect(message.byteLength).toBe(45);
  expect((message[0] ?? 0) & 0xc0).toBe(0x40);
  expect(new Uint8Array(openLooseMessage("challenge", key, message) ?? [])).toEqual(number);
  expect(openLooseMessage("answer", key, message)).toBeNull();
  expect(openLooseMessage("challenge", new Uint8Array(32), message)).toBeNull();
  expect(openLooseMessage("challenge", key, message.subarray(1))).toBeNull();
});

test.each([
  ["127.0.0.1", "0.0.0.0", "127.0.0.1"],
  ["127.0.0.1", "::", "::ffff:127.0.0.1"],
  ["0:0:0:0:0:0:0:1", "::", "::1"],
  ["fdaa:0:0001::3", "::", "fdaa:0:1::3"],
  ["::ffff:7f00:1", "::", "::ffff:127.0.0.1"],
])("%s on a socket at %s is seen as %s", (host, socketHost, expected) => {
  expect(canonicalHost(host, socketHost)).toBe(expected);
});

test("socket addresses are laid out as the kernel reads them", () => {
  const six = new DataView(new ArrayBuffer(28));
  expect(writeSocketAddress(six, 6, "fdaa:0:1::a", 8443)).toBe(28);
  expect(Buffer.from(six.buffer).toString("hex")).toBe(
    "0a0020fb00000000fdaa000000010000000000000000000a00000000",
  );
  expect(writeSocketAddress(six, 6, "127.0.0.1", 1)).toBe(28);
  expect(Buffer.from(six.buffer, 8, 16).toString("hex")).toBe("00000000000000000000ffff7f000001");
  const four = new DataView(new ArrayBuffer(28));
  expect(writeSocketAddress(four, 4, "::ffff:10.1.2.3", 53)).toBe(16);
  expect(Buffer.from(four.buffer, 0, 8).toString("hex")).toBe("020000350a010203");
});
