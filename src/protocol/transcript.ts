import { Writer } from "./wire.ts";

/**
 * What both ends sign and prove at login (docs/login.md). Every field stands behind its length and
 * their number and order are fixed, so two different logins can never give the same bytes.
 *
 *   T   = "fly-vault attestation v1" 00 ‖ lp(alpn) ‖ lp(app) ‖ lp(machine)
 *         ‖ lp(SHA-256(certificate)) ‖ lp(channel binding) ‖ lp(Nc) ‖ lp(Ns)
 *   aud = "fv1." ‖ base64url(SHA-256(T))
 *   TH  = SHA-256("fly-vault transcript v1" 00 ‖ lp(SHA-256(T)) ‖ lp(SHA-256(jwt)) ‖ lp(features))
 *   Pc  = HMAC(Kc, 01 ‖ TH)      Ps = HMAC(Ks, 02 ‖ TH ‖ Pc)
 *
 * lp(x) = u16 length ‖ bytes; features = version u8 ‖ client's u32 ‖ server's u32.
 */

/** SHA-256 and its kin are handed in: the pure core has no cryptography of its own. */
export interface Digests {
  sha256(bytes: Uint8Array): Uint8Array;
  hmacSha256(key: Uint8Array, bytes: Uint8Array): Uint8Array;
  /** In constant time for equal lengths. */
  equal(a: Uint8Array, b: Uint8Array): boolean;
}

/** The TLS channel as one end sees it. In an attack the two ends see different ones. */
export interface Channel {
  readonly alpn: string;
  /** The whole leaf certificate, DER: no parsing, so no difference between parsers to exploit. */
  readonly certificate: Uint8Array;
  readonly binding: Uint8Array;
}

/** Whom the evidence speaks of. The organisation is not here: init is not told it, Fly signs it. */
export interface MachineName {
  readonly appName: string;
  readonly machineId: string;
}

export interface Nonces {
  readonly client: Uint8Array;
  readonly server: Uint8Array;
}

export interface Features {
  /** Version byte of HELLO. */
  readonly version: number;
  readonly client: number;
  readonly server: number;
}

/** Proof keys, from the token by src/fly/token.ts. */
export interface ProofKeys {
  readonly client: Uint8Array;
  readonly server: Uint8Array;
}

/** T: everything that makes this connection this connection. */
export function attestationTranscript(
  channel: Channel,
  machine: MachineName,
  nonces: Nonces,
  digests: Digests,
): Uint8Array<ArrayBuffer> {
  const writer = label("fly-vault attestation v1");
  const fields = [
    encoder.encode(channel.alpn),
    encoder.encode(machine.appName),
    encoder.encode(machine.machineId),
    digests.sha256(channel.certificate),
    channel.binding,
    nonces.client,
    nonces.server,
  ];
  for (const field of fields) lengthPrefixed(writer, field);
  return writer.finish();
}

/** The one audience under which evidence for this channel is issued: 47 characters. */
export function attestationAudience(transcript: Uint8Array, digests: Digests): string {
  const hash = digests.sha256(transcript);
  return `fv1.${hash.toBase64({ alphabet: "base64url", omitPadding: true })}`;
}

/** TH: what both proofs are made over. */
export function transcriptHash(
  transcript: Uint8Array,
  jwt: Uint8Array,
  features: Features,
  digests: Digests,
): Uint8Array {
  const writer = label("fly-vault transcript v1");
  lengthPrefixed(writer, digests.sha256(transcript));
  lengthPrefixed(writer, digests.sha256(jwt));
  const words = new Writer(9).u8(features.version).u32(features.client).u32(features.server);
  lengthPrefixed(writer, words.finish());
  return digests.sha256(writer.finish());
}

/** Pc: the client knows the token. */
export function clientProof(keys: ProofKeys, hash: Uint8Array, digests: Digests): Uint8Array {
  return digests.hmacSha256(keys.client, new Writer(33).u8(0x01).bytes(hash).finish());
}

/** Ps: the machine knows it too, and saw this very Pc. */
export function serverProof(
  keys: ProofKeys,
  hash: Uint8Array,
  proof: Uint8Array,
  digests: Digests,
): Uint8Array {
  const message = new Writer(65).u8(0x02).bytes(hash).bytes(proof).finish();
  return digests.hmacSha256(keys.server, message);
}

function label(text: string): Writer {
  return new Writer(320).bytes(encoder.encode(text)).u8(0x00);
}

function lengthPrefixed(writer: Writer, bytes: Uint8Array): void {
  if (bytes.length > fieldBytesMax)
    throw new RangeError(`Transcript field of ${bytes.length} bytes, at most ${fieldBytesMax}`);
  writer.u16(bytes.length).bytes(bytes);
}

const encoder = new TextEncoder();
const fieldBytesMax = 1024;
