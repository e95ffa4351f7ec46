import type { JWK } from "jose";
import * as v from "valibot";
import { readBounded } from "./bounded-body.ts";
import { checkIssuer, jwksUrl } from "./issuer.ts";
import { flyLimits } from "./limits.ts";
import { parseStrictJson, StrictJsonError } from "./strict-json.ts";

/** The issuer's keys could not be had: `unreachable` may pass, `malformed` is what was answered. */
export class JwksError extends Error {
  override readonly name = "JwksError";
  readonly code: "unreachable" | "malformed";

  constructor(code: "unreachable" | "malformed", message: string) {
    super(message);
    this.code = code;
  }
}

/** A public RSA key fit to verify RS256, under its id. */
export type SigningKey = JWK & { readonly kid: string };

/** Asks the issuer. Rejects with `JwksError`. */
export async function fetchJwks(
  issuer: string,
  timeoutMs: number = flyLimits.jwksTimeoutMs,
): Promise<SigningKey[]> {
  const url = jwksUrl(checkIssuer(issuer));
  return parseJwks(await download(url, timeoutMs));
}

/**
 * The usable keys of a set. Keys of other kinds and uses are left aside, for an issuer may have some;
 * a set with no usable key, the same id twice or a private key in it is refused whole.
 */
export function parseJwks(bytes: Uint8Array): SigningKey[] {
  const result = v.safeParse(setSchema, parseSet(bytes));
  if (!result.success) throw malformed(`key set: ${result.issues[0].message}`);
  const keys = result.output.keys.flatMap((key) => {
    if (privateMembers.some((member) => Object.hasOwn(key, member)))
      throw malformed("a private key is in the set");
    return signingKey(key) ?? [];
  });
  if (new Set(keys.map((key) => key.kid)).size !== keys.length)
    throw malformed("two keys have the same id");
  if (keys.length === 0) throw malformed("no RSA key of 2048 bits or more for RS256 is in the set");
  return keys;
}

async function download(url: string, timeoutMs: number): Promise<Uint8Array> {
  const signal = AbortSignal.timeout(timeoutMs);
  let response: Response;
  try {
    response = await fetch(url, {
      signal,
      // Whoever can redirect us could name keys of their own.
      redirect: "manual",
      headers: { accept: "application/json" },
      // Not to be switched off by NODE_TLS_REJECT_UNAUTHORIZED.
      tls: { rejectUnauthorized: true },
    });
  } catch (error) {
    throw unreachable(url, error);
  }
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new JwksError("unreachable", `${url} answered ${response.status}`);
  }
  let bytes: Uint8Array | undefined;
  try {
    bytes = await readBounded(response, flyLimits.jwksBytesMax);
  } catch (error) {
    throw unreachable(url, error);
  }
  if (bytes === undefined) throw malformed(`more than ${flyLimits.jwksBytesMax} bytes`);
  return bytes;
}

function parseSet(bytes: Uint8Array): unknown {
  try {
    return parseStrictJson(bytes, { depthMax: 4, membersMax: 1024 });
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    throw malformed(`the answer is ${error.message}`);
  }
}

function signingKey(key: Record<string, unknown>): SigningKey | undefined {
  const result = v.safeParse(keySchema, key);
  if (!result.success) return undefined;
  const { kid, n, e } = result.output;
  const bits = BigInt(`0x${Buffer.from(n, "base64url").toString("hex")}`).toString(2).length;
  const fit = bits >= flyLimits.rsaBitsMin && bits <= flyLimits.rsaBitsMax;
  // Only what verifying needs, so that nothing else of the answer reaches jose or the disk.
  return fit ? { kty: "RSA", kid, n, e, alg: "RS256", use: "sig" } : undefined;
}

function unreachable(url: string, error: unknown): JwksError {
  const detail = error instanceof Error ? error.message : String(error);
  return new JwksError("unreachable", `${url} cannot be fetched: ${detail}`);
}

function malformed(what: string): JwksError {
  return new JwksError("malformed", `The issuer's key set is of no use: ${what}`);
}

const privateMembers = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

const setSchema = v.object({
  keys: v.pipe(v.array(v.record(v.string(), v.unknown())), v.maxLength(flyLimits.jwksKeysMax)),
});

const keySchema = v.object({
  kty: v.literal("RSA"),
  kid: v.pipe(v.string(), v.regex(/^[A-Za-z0-9._-]+$/), v.maxLength(flyLimits.kidCharactersMax)),
  use: v.optional(v.literal("sig")),
  alg: v.optional(v.literal("RS256")),
  n: v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{64,2048}$/)),
  // 65537; small exponents make signatures forgeable where padding checks are weak.
  e: v.literal("AQAB"),
});
