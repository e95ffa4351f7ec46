import { compactVerify, errors, importJWK, type JWK } from "jose";
import * as v from "valibot";
import { limits } from "../protocol/limits.ts";
import { AttestationError } from "./attestation-error.ts";
import { flyLimits } from "./limits.ts";
import { parseStrictJson, StrictJsonError } from "./strict-json.ts";

/**
 * A JWT as Fly writes them and in no other spelling. jose checks the signature; all it would let
 * through besides (other headers, text around, names twice, infinite times) is refused here.
 */
export interface Jwt {
  readonly text: string;
  readonly kid: string;
  /** Signed by nobody yet as far as we know: for `readClaims` after `verifySignature`. */
  readonly payload: unknown;
}

/** Checks the form alone: no key, no clock. Throws `AttestationError` of code `form`. */
export function parseJwt(bytes: Uint8Array): Jwt {
  if (bytes.length > limits.jwtBytesMax)
    throw malformed(`${bytes.length} bytes, at most ${limits.jwtBytesMax}`);
  // Latin-1 keeps one character a byte; anything beyond base64url and dots is refused below.
  const text = Buffer.from(bytes).toString("latin1");
  const parts = text.split(".");
  const [header, payload, signature] = parts;
  if (parts.length !== 3 || header === undefined || payload === undefined)
    throw malformed(`${parts.length} parts in place of 3`);
  const headerBytes = decodePart("header", header);
  if (headerBytes.length > flyLimits.jwtHeaderBytesMax)
    throw malformed(`header of ${headerBytes.length} bytes`);
  const payloadBytes = decodePart("payload", payload);
  decodePart("signature", signature ?? "");
  const { kid } = parseHeader(headerBytes);
  return { text, kid, payload: parseJson("payload", payloadBytes) };
}

/** Throws `AttestationError` of code `signature`. */
export async function verifySignature(jwt: Jwt, key: JWK): Promise<void> {
  try {
    await compactVerify(jwt.text, await importJWK(key, "RS256"), { algorithms: ["RS256"] });
  } catch (error) {
    if (!(error instanceof errors.JOSEError)) throw error;
    throw new AttestationError("signature", "The signature does not verify with Fly's key");
  }
}

/** The claims of a JWT whose signature verified. Throws `AttestationError` of code `form`. */
export function readClaims(jwt: Jwt): Claims {
  const result = v.safeParse(claimsSchema, jwt.payload);
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw malformed(`claim ${v.getDotPath(issue) ?? "set"}: ${issue.message}`);
}

function parseHeader(bytes: Uint8Array): Header {
  const value = parseJson("header", bytes);
  const result = v.safeParse(headerSchema, value);
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw malformed(`header ${v.getDotPath(issue) ?? "value"}: ${issue.message}`);
}

function parseJson(what: string, bytes: Uint8Array): unknown {
  try {
    return parseStrictJson(bytes, {
      depthMax: flyLimits.jwtDepthMax,
      membersMax: flyLimits.jwtMembersMax,
    });
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    throw malformed(`${what} is ${error.message}`);
  }
}

/** Canonical base64url without padding: one value, one spelling. */
function decodePart(what: string, text: string): Uint8Array {
  const bytes = Buffer.from(text, "base64url");
  if (bytes.length === 0 || bytes.toString("base64url") !== text)
    throw malformed(`${what} is not canonical base64url`);
  return bytes;
}

function malformed(what: string): AttestationError {
  return new AttestationError("form", `The evidence is malformed: ${what}`);
}

const words = v.pipe(v.string(), v.maxLength(flyLimits.claimCharactersMax));
const claim = v.pipe(words, v.nonEmpty());
const seconds = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** `crit`, `jku`, `jwk`, `x5c`, `b64` and whatever else: a strict object knows only these. */
const headerSchema = v.strictObject({
  alg: v.literal("RS256"),
  kid: v.pipe(v.string(), v.regex(/^[A-Za-z0-9._-]+$/), v.maxLength(flyLimits.kidCharactersMax)),
  typ: v.optional(v.literal("JWT")),
});
type Header = v.InferOutput<typeof headerSchema>;

/** Other claims are let through: Fly may add some, and none of them can weaken these. */
const claimsSchema = v.object({
  iss: claim,
  aud: claim,
  sub: claim,
  iat: seconds,
  nbf: seconds,
  exp: seconds,
  org_id: claim,
  app_id: claim,
  app_name: claim,
  machine_id: v.pipe(v.string(), v.regex(/^[0-9a-z]{1,64}$/)),
  org_name: v.optional(claim),
  machine_name: v.optional(claim),
  // For people to read; fly-local's may be empty.
  region: v.optional(words),
  image: v.optional(words),
  image_digest: v.optional(words),
});
export type Claims = v.InferOutput<typeof claimsSchema>;
