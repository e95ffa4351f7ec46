import type { ProofKeys } from "../protocol/transcript.ts";
import { Writer } from "../protocol/wire.ts";

/**
 * The access token and the keys made from it (docs/login.md, "Keys").
 *
 * A token of ours is `fvt1_` + base64url(32 random bytes) + `_` + the first six base64url characters
 * of SHA-256 over all before the second `_`: long enough that a recorded proof cannot be guessed
 * from, and a slip of the pen is noticed. Any other words work too, but are called weak.
 */

export type TokenStrength =
  /** Ours, whole. */
  | "strong"
  /** Other words: whoever breaks attestation and is proved to once may guess at leisure. */
  | "weak"
  /** Starts like ours, but characters are missing or wrong. */
  | "mistyped"
  | "empty";

/** The token cannot be used; the message never quotes it. */
export class TokenError extends Error {
  override readonly name = "TokenError";
  readonly strength: "mistyped" | "empty";

  constructor(strength: "mistyped" | "empty") {
    super(
      strength === "empty"
        ? "The access token is empty"
        : `The access token starts with ${prefix} but is mistyped or cut short`,
    );
    this.strength = strength;
  }
}

/** `random` is 32 bytes from the system's generator. */
export function generateToken(random: Uint8Array): string {
  if (random.length !== secretBytes)
    throw new RangeError(`A token is made of ${secretBytes} bytes, not ${random.length}`);
  const body = `${prefix}${base64url(random)}`;
  return `${body}_${checkCharacters(body)}`;
}

export function tokenStrength(token: string): TokenStrength {
  if (token === "") return "empty";
  if (!token.startsWith(prefix)) return "weak";
  return decodeToken(token) === undefined ? "mistyped" : "strong";
}

/** K_login, which init keeps instead of the token. Throws `TokenError`. */
export function deriveLoginKey(token: string, appName: string): Uint8Array {
  const strength = tokenStrength(token);
  if (strength === "empty" || strength === "mistyped") throw new TokenError(strength);
  const secret = decodeToken(token) ?? new TextEncoder().encode(token);
  const app = new TextEncoder().encode(appName);
  // The second field is the tenant, empty today: one app holds one tenant, or the tokens differ.
  const info = new Writer(128)
    .bytes(new TextEncoder().encode("login"))
    .u16(app.length)
    .bytes(app)
    .u16(0);
  const extracted = hmac(new TextEncoder().encode("fly-vault/1"), secret);
  return expand(extracted, info.finish());
}

/** Kc and Ks from K_login. */
export function expandLoginKey(loginKey: Uint8Array): ProofKeys {
  if (loginKey.length !== keyBytes)
    throw new RangeError(`A login key has ${keyBytes} bytes, not ${loginKey.length}`);
  return {
    client: expand(loginKey, new TextEncoder().encode("client proof")),
    server: expand(loginKey, new TextEncoder().encode("server proof")),
  };
}

/** Straight from the token to the proof keys, for the client. Throws `TokenError`. */
export function deriveLoginKeys(token: string, appName: string): ProofKeys {
  return expandLoginKey(deriveLoginKey(token, appName));
}

function decodeToken(token: string): Uint8Array | undefined {
  const body = token.slice(0, -(checkLength + 1));
  if (token !== `${body}_${checkCharacters(body)}`) return undefined;
  const text = body.slice(prefix.length);
  const secret = new Uint8Array(Buffer.from(text, "base64url"));
  // Re-encoded, so that one secret has one spelling.
  return secret.length === secretBytes && base64url(secret) === text ? secret : undefined;
}

function checkCharacters(body: string): string {
  const digest = new Bun.CryptoHasher("sha256").update(body).digest("base64url");
  return digest.slice(0, checkLength);
}

/** HKDF-Expand, one block. Of K_login alone: a uniform key already, extracting again would add nothing. */
function expand(key: Uint8Array, info: Uint8Array): Uint8Array {
  return hmac(key, Buffer.concat([info, Uint8Array.of(1)]));
}

/** Bun's own: node:crypto takes 3 ms to load, in the way of every command. */
function hmac(key: Uint8Array, data: Uint8Array): Uint8Array {
  return new Uint8Array(new Bun.CryptoHasher("sha256", key).update(data).digest());
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64url");
}

const prefix = "fvt1_";
const secretBytes = 32;
const keyBytes = 32;
const checkLength = 6;
