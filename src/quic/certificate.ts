import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import {
  bitString,
  explicit,
  objectId,
  sequence,
  set,
  unsigned,
  utcTime,
  utf8String,
} from "./der.ts";
import type { ServerIdentity } from "./quiche-config.ts";

/**
 * A fresh ECDSA P-256 key with a certificate signed by itself. It lives in memory only: one per
 * start of the server. Nobody trusts its contents; the login binds to its bytes and to the key.
 */
export function selfSignedCertificate(now: Date = new Date()): ServerIdentity {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const algorithm = sequence(objectId("1.2.840.10045.4.3.2"));
  const name = sequence(set(sequence(objectId("2.5.4.3"), utf8String("fly-vault"))));
  const tbs = sequence(
    explicit(0, unsigned(Uint8Array.of(2))),
    unsigned(serialNumber()),
    algorithm,
    name,
    sequence(utcTime(yearsFrom(now, -1)), utcTime(yearsFrom(now, 10))),
    name,
    publicKey.export({ type: "spki", format: "der" }),
  );
  const certificateDer = sequence(tbs, algorithm, bitString(sign("sha256", tbs, privateKey)));
  return {
    certificateDer: new Uint8Array(certificateDer),
    certificatePem: pem("CERTIFICATE", certificateDer),
    privateKeyPem: privateKey.export({ type: "pkcs8", format: "pem" }),
  };
}

/** Never zero, never negative, at most 20 bytes (RFC 5280, 4.1.2.2). */
function serialNumber(): Uint8Array {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes;
}

function yearsFrom(now: Date, years: number): Date {
  const at = new Date(now);
  at.setUTCFullYear(at.getUTCFullYear() + years);
  return at;
}

function pem(label: string, bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}
