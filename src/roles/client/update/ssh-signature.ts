import { createHash, createPublicKey, verify } from "node:crypto";

/**
 * Signatures as `ssh-keygen -Y sign -n fly-vault-release` makes them (OpenSSH's PROTOCOL.sshsig), with
 * ed25519 alone: everybody has the program that makes and checks them. Nothing of one is parsed: for a
 * key that is known all bytes are known, but for the last 64.
 */
export const signatureNamespace = "fly-vault-release";

/** The 32 bytes of an ed25519 public key. */
export type ReleaseKey = Uint8Array;

/** Lines of an OpenSSH public key file; undefined where one of them is no ed25519 key. */
export function parseReleaseKeys(text: string): ReleaseKey[] | undefined {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const keys = lines.map(parseKey);
  return keys.every((key) => key !== undefined) ? keys : undefined;
}

function parseKey(line: string): ReleaseKey | undefined {
  const [type, text = ""] = line.trim().split(/\s+/);
  const blob = Buffer.from(text, "base64");
  const key = blob.subarray(-keyBytes);
  return type === keyType && blob.equals(keyBlob(key)) ? key : undefined;
}

/** Whether `signature` (the armoured text) is one of `message` by any of the keys. */
export function isSignedBy(
  keys: readonly ReleaseKey[],
  message: Uint8Array,
  signature: string,
): boolean {
  const blob = unarmoured(signature);
  return keys.some((key) =>
    ["sha512", "sha256"].some((hashName) => isSignature(blob, { key, hashName, message })),
  );
}

interface Signed {
  readonly key: ReleaseKey;
  readonly hashName: string;
  readonly message: Uint8Array;
}

function isSignature(blob: Buffer, { key, hashName, message }: Signed): boolean {
  const signature = blob.subarray(-signatureBytes);
  const purpose = [sshString(signatureNamespace), sshString(""), sshString(hashName)];
  const expected = Buffer.concat([
    Buffer.from(magic),
    Buffer.from([0, 0, 0, 1]), // the version
    sshString(keyBlob(key)),
    ...purpose,
    sshString(Buffer.concat([sshString(keyType), sshString(signature)])),
  ]);
  if (!blob.equals(expected)) return false;
  const digest = createHash(hashName).update(message).digest();
  const covered = Buffer.concat([Buffer.from(magic), ...purpose, sshString(digest)]);
  const jwk = { kty: "OKP", crv: "Ed25519", x: Buffer.from(key).toString("base64url") };
  return verify(null, covered, createPublicKey({ key: jwk, format: "jwk" }), signature);
}

function unarmoured(text: string): Buffer {
  const lines = text.trim().split(/\r?\n/);
  const isWhole =
    lines[0] === `${dashes}BEGIN ${label}` && lines.at(-1) === `${dashes}END ${label}`;
  return Buffer.from(isWhole ? lines.slice(1, -1).join("") : "", "base64");
}

function keyBlob(key: ReleaseKey): Buffer {
  return Buffer.concat([sshString(keyType), sshString(key)]);
}

function sshString(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

const keyType = "ssh-ed25519";
const keyBytes = 32;
const signatureBytes = 64;
const magic = "SSHSIG";
const dashes = "-----";
const label = `SSH SIGNATURE${dashes}`;
