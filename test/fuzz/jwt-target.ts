import { decodeJwt, decodeProtectedHeader, importJWK, jwtVerify } from "jose";
import { verifyEvidence } from "../../src/fly/attestation.ts";
import { AttestationError } from "../../src/fly/attestation-error.ts";
import { parseJwt } from "../../src/fly/jwt.ts";
import { JwksError, parseJwks } from "../../src/fly/jwks-fetch.ts";
import { flyLimits } from "../../src/fly/limits.ts";
import { allowing, type FuzzTarget } from "../support/fuzz.ts";
import { mutateJson, oddJson } from "../support/json-damage.ts";
import { aud, expected, key, nowMs } from "../support/jwt-corpus.ts";
import { damage, mutate, pick } from "../support/mutation.ts";
import { base64url, claimsOf, headerOf, signJwt } from "../support/oidc-issuer.ts";
import { between, type Random } from "../support/seed.ts";

const good = claimsOf(expected.issuer, aud, {}, nowMs);

/** Header and claims with one thing wrong at most, under a signature that is only as long as one. */
function anyUnsigned(random: Random): Uint8Array {
  const header = random() < 0.3 ? oddJson(random, headerOf(key)) : headerOf(key);
  const claims = random() < 0.7 ? oddJson(random, good) : good;
  return Buffer.from(`${base64url(header)}.${base64url(claims)}.${"A".repeat(342)}`);
}

/** What is inside base64url is damaged as well, and encoded anew. */
function mutateJwt(random: Random, corpus: readonly Uint8Array[]): Uint8Array {
  if (random() < 0.5) return mutate(random, corpus);
  const parts = Buffer.from(pick(random, corpus)).toString("latin1").split(".");
  const index = between(random, 0, parts.length - 1);
  const inner = Uint8Array.from(Buffer.from(parts[index] ?? "", "base64url"));
  parts[index] = Buffer.from(mutate(random, [inner])).toString("base64url");
  return Buffer.from(parts.join("."), "latin1");
}

/** The form alone: what we take, jose takes, and reads the same. */
export const jwtForm: FuzzTarget = {
  name: "JWT form",
  runs: 300_000,
  planned: 1_000_000,
  corpus: (random) => Array.from({ length: 300 }, () => anyUnsigned(random)),
  mutate: mutateJwt,
  check: (bytes) => {
    const jwt = allowing(AttestationError, () => parseJwt(bytes));
    if (jwt === undefined) return false;
    const theirs = [decodeProtectedHeader(jwt.text).kid, claimsOrUndefined(jwt.text)];
    // jose wants an object; whether ours is one is asked once the signature verified.
    const { payload } = jwt;
    const isObject = typeof payload === "object" && payload !== null && !Array.isArray(payload);
    const ours = [jwt.kid, isObject ? payload : undefined];
    if (JSON.stringify(theirs) !== JSON.stringify(ours)) throw new Error("jose reads otherwise");
    return true;
  },
};

function claimsOrUndefined(text: string): unknown {
  try {
    return decodeJwt(text);
  } catch {
    return undefined;
  }
}

const publicKey = await importJWK(key.publicJwk, "RS256");

/** Signed by the right key whatever it says, or damaged after that: what we accept, jose accepts. */
export const signedJwt: FuzzTarget = {
  name: "JWT signed",
  runs: 10_000,
  epochRuns: 1000,
  corpus: (random) =>
    Array.from({ length: 200 }, () => {
      const near = { ...good, iat: good["iat"], exp: Number(good["iat"]) + pick(random, [0, 900]) };
      return Buffer.from(signJwt(key, random() < 0.3 ? near : oddJson(random, near)));
    }),
  mutate: (random, corpus) => {
    const bytes = pick(random, corpus).slice();
    if (random() < 0.5) damage(random, bytes, between(random, 0, bytes.length - 1));
    return bytes;
  },
  check: async (bytes) => {
    try {
      await verifyEvidence(bytes, expected, {
        key: () => Promise.resolve(key.publicJwk),
        audience: () => aud,
        helloMs: nowMs,
        nowMs,
      });
    } catch (error) {
      if (error instanceof AttestationError) return false;
      throw error;
    }
    await jwtVerify(Buffer.from(bytes).toString("latin1"), publicKey, {
      algorithms: ["RS256"],
      audience: aud,
      issuer: expected.issuer,
      currentDate: new Date(nowMs),
      clockTolerance: flyLimits.clockAheadMs / 1000,
    });
    return true;
  },
};

/** The issuer's keys: few, fit for RS256, of different names, and nothing private. */
export const keySets: FuzzTarget = {
  name: "JWKS",
  runs: 250_000,
  planned: 1_000_000,
  corpus: (random) => {
    const jwk = key.publicJwk;
    const sets = [
      { keys: [jwk] },
      { keys: [{ ...jwk, kid: "key-2" }, jwk, { kty: "EC", crv: "P-256" }] },
      { keys: [{ ...jwk, use: undefined, alg: undefined, x5c: ["MIIB"] }] },
    ];
    const odd = Array.from({ length: 100 }, () => oddJson(random, pick(random, sets)));
    return [...sets, ...odd].map((set) => Buffer.from(JSON.stringify(set)));
  },
  mutate: mutateJson,
  check: (bytes) => {
    const keys = allowing(JwksError, () => parseJwks(bytes));
    if (keys === undefined) return false;
    const names = new Set(keys.map(({ kid }) => kid));
    if (keys.length === 0 || keys.length > flyLimits.jwksKeysMax || names.size !== keys.length)
      throw new Error(`${keys.length} keys`);
    for (const one of keys)
      if (Object.keys(one).toSorted().join() !== "alg,e,kid,kty,n,use" || one.e !== "AQAB")
        throw new Error(`a key of ${Object.keys(one).join()}`);
    return true;
  },
};
