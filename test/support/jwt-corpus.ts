import { createHmac, createPublicKey, createSign, generateKeyPairSync } from "node:crypto";
import type { ExpectedMachine } from "../../src/fly/attestation.ts";
import type { AttestationError } from "../../src/fly/attestation-error.ts";
import { changedByte, flippedTail, nested } from "./jwt-tamper.ts";
import { base64url, claimsOf, headerOf, issuerKey, signJwt } from "./oidc-issuer.ts";

/** Row by row what evidence must not be. The key is Fly's own wherever the row allows it. */

export const nowMs = 1_800_000_000_000;
const now = nowMs / 1000;
const issuer = "https://oidc.fly.io/acme";
export const aud = "fv1.6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f";
export const key = issuerKey("key-1");
const otherKey = issuerKey("key-1");

export const expected: ExpectedMachine = {
  issuer,
  org: "acme",
  app: "dev-vaults",
  machineId: "148e21ea7e46e8",
  orgId: "11",
  appId: "22",
};

export type Result = AttestationError["code"] | "accepted";

interface Row {
  readonly row: number;
  readonly name: string;
  readonly token: string;
  readonly is: Result;
  readonly expected?: Partial<ExpectedMachine>;
}

const good = claimsOf(issuer, aud, {}, nowMs);
export const valid = signJwt(key, good);
const [validHeader = "", validPayload = "", validSignature = ""] = valid.split(".");

function withClaims(changes: Record<string, unknown>): string {
  return signJwt(key, { ...good, ...changes });
}

function withoutClaim(name: string): string {
  return signJwt(key, Object.fromEntries(Object.entries(good).filter(([each]) => each !== name)));
}

function missing(row: number, name: string): Row {
  return { row, name: `${name} missing`, token: withoutClaim(name), is: "form" };
}

/** Payload text with a piece put in before its last brace. */
function withText(more: string): string {
  return signJwt(key, JSON.stringify(good).replace(/\}$/, `,${more}}`));
}

function withHeader(changes: Record<string, unknown>): string {
  return signJwt(key, good, { ...headerOf(key), ...changes });
}

function hmacSigned(secret: string | Uint8Array): string {
  const text = `${base64url({ alg: "HS256", kid: key.kid })}.${validPayload}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

/** Signed with that algorithm by a key of its own kind. */
function signedAs(alg: "RS384" | "PS256" | "ES256" | "EdDSA"): string {
  const text = `${base64url({ alg, kid: key.kid })}.${validPayload}`;
  if (alg === "RS384")
    return `${text}.${createSign("RSA-SHA384").update(text).sign(key.privateKey, "base64url")}`;
  return `${text}.${base64url("signature")}`;
}

const publicPem = createPublicKey(key.privateKey).export({ type: "spki", format: "pem" });
const embedded = generateKeyPairSync("rsa", { modulusLength: 2048 });

export const rows: readonly Row[] = [
  { row: 0, name: "valid", token: valid, is: "accepted" },
  ...["none", "None", "nOnE"].map((alg) => ({
    row: 1,
    name: `alg ${alg}`,
    token: `${base64url({ alg, kid: key.kid })}.${validPayload}.`,
    is: "form" as const,
  })),
  {
    row: 1,
    name: "alg none with the valid signature",
    token: `${base64url({ alg: "none", kid: key.kid })}.${validPayload}.${validSignature}`,
    is: "form",
  },
  ...Object.entries({
    PEM: publicPem,
    JWK: JSON.stringify(key.publicJwk),
    modulus: Buffer.from(key.publicJwk.n ?? "", "base64url"),
  }).map(([form, secret]) => ({
    row: 2,
    name: `HS256 keyed with the ${form}`,
    token: hmacSigned(secret),
    is: "form" as const,
  })),
  ...(["RS384", "PS256", "ES256", "EdDSA"] as const).map((alg) => ({
    row: 3,
    name: alg,
    token: signedAs(alg),
    is: "form" as const,
  })),
  { row: 4, name: "other key, same kid", token: signJwt(otherKey, good), is: "signature" },
  {
    row: 5,
    name: "embedded jwk",
    token: withHeader({ jwk: embedded.publicKey.export({ format: "jwk" }) }),
    is: "form",
  },
  { row: 6, name: "jku", token: withHeader({ jku: "https://evil.example/jwks" }), is: "form" },
  { row: 6, name: "x5u", token: withHeader({ x5u: "https://evil.example/cert" }), is: "form" },
  { row: 6, name: "x5c", token: withHeader({ x5c: ["MIIB"] }), is: "form" },
  { row: 7, name: "unknown kid", token: withHeader({ kid: "key-2" }), is: "key" },
  { row: 8, name: "no kid", token: signJwt(key, good, { alg: "RS256", typ: "JWT" }), is: "form" },
  ...["../../etc/passwd", "1' OR '1'='1", "", 7, "k".repeat(129), "k".repeat(10_240)].map(
    (kid, index) => ({
      row: 9,
      name: `kid ${index}`,
      token: withHeader({ kid }),
      is: "form" as const,
    }),
  ),
  { row: 10, name: "crit", token: withHeader({ crit: ["exp2"], exp2: 1 }), is: "form" },
  { row: 11, name: "b64 false", token: withHeader({ b64: false, crit: ["b64"] }), is: "form" },
  { row: 11, name: "b64 false without crit", token: withHeader({ b64: false }), is: "form" },
  { row: 12, name: "typ JWE", token: withHeader({ typ: "JWE" }), is: "form" },
  { row: 12, name: "typ at+jwt", token: withHeader({ typ: "at+jwt" }), is: "form" },
  { row: 13, name: "aud array with ours", token: withClaims({ aud: ["x", aud] }), is: "form" },
  { row: 14, name: "aud array of ours", token: withClaims({ aud: [aud] }), is: "form" },
  { row: 15, name: "aud prefix", token: withClaims({ aud: aud.slice(0, -1) }), is: "audience" },
  { row: 15, name: "aud suffix", token: withClaims({ aud: `${aud}x` }), is: "audience" },
  { row: 15, name: "aud case", token: withClaims({ aud: aud.toUpperCase() }), is: "audience" },
  missing(16, "aud"),
  { row: 16, name: "aud empty", token: withClaims({ aud: "" }), is: "form" },
  { row: 16, name: "aud null", token: withClaims({ aud: null }), is: "form" },
  { row: 16, name: "aud number", token: withClaims({ aud: 7 }), is: "form" },
  {
    row: 17,
    name: "aud of another channel",
    token: withClaims({ aud: `fv1.${"A".repeat(43)}` }),
    is: "audience",
  },
  {
    row: 18,
    name: "aud right, issued before HELLO",
    token: withClaims({ iat: now - 61, nbf: now - 61, exp: now + 539 }),
    is: "time",
  },
  ...[
    `${issuer}-evil`,
    `${issuer}/`,
    issuer.replace("https", "http"),
    issuer.toUpperCase(),
    "https://oidc.fly.io@evil.example/acme",
    "https://oidc.fly.io:444/acme",
    "https://oidc.fly.io/",
  ].map((iss) => ({ row: 19, name: iss, token: withClaims({ iss }), is: "issuer" as const })),
  { row: 20, name: "iss array", token: withClaims({ iss: [issuer] }), is: "form" },
  {
    row: 21,
    name: "iss of another org, honestly served",
    token: withClaims({ iss: "https://oidc.fly.io/evil", org_name: "evil" }),
    is: "issuer",
  },
  {
    row: 21,
    name: "org of an issuer that does not name one",
    token: withClaims({ iss: "https://issuer.example", org_name: "evil" }),
    is: "issuer",
    expected: { issuer: "https://issuer.example" },
  },
  ...[
    "acme:dev-vaults",
    "acme:dev-vaults:",
    ":dev-vaults:tenant-1",
    "acme:other:tenant-1",
    "x",
    "acme:dev-vaults:tenant-1:x",
    "evil:dev-vaults:tenant-1",
    "acme:dev-vaults:tenant-2",
  ].map((sub) => ({
    row: 22,
    name: `sub ${sub}`,
    token: withClaims({ sub }),
    is: "form" as const,
  })),
  {
    row: 23,
    name: "image on the list",
    token: valid,
    is: "accepted",
    expected: { imageDigests: ["sha256:other", "sha256:9c1f"] },
  },
  {
    row: 23,
    name: "image not on the list",
    token: valid,
    is: "image",
    expected: { imageDigests: ["sha256:9c1"] },
  },
  {
    row: 23,
    name: "no image, with a list",
    token: withoutClaim("image_digest"),
    is: "image",
    expected: { imageDigests: [] },
  },
  {
    row: 24,
    name: "iat 60 s ahead",
    token: withClaims({ iat: now + 60, nbf: now, exp: now + 600 }),
    is: "time",
  },
  { row: 24, name: "iat 200 s old", token: withClaims({ iat: now - 200 }), is: "time" },
  { row: 25, name: "nbf 60 s ahead", token: withClaims({ nbf: now + 60 }), is: "time" },
  // Clocks of laptops are a little off: a lead of less than a minute is allowed on purpose.
  { row: 25, name: "nbf 59 s ahead", token: withClaims({ nbf: now + 59 }), is: "accepted" },
  {
    row: 26,
    name: "exp past by 31 s",
    token: withClaims({ iat: now - 50, nbf: now - 50, exp: now - 31 }),
    is: "time",
  },
  // And so are 30 s after the end.
  {
    row: 27,
    name: "exp past by 29 s",
    token: withClaims({ iat: now - 50, nbf: now - 50, exp: now - 29 }),
    is: "accepted",
  },
  { row: 28, name: "exp string", token: withClaims({ exp: String(now + 600) }), is: "form" },
  { row: 28, name: "exp negative", token: withClaims({ exp: -1 }), is: "form" },
  { row: 28, name: "exp float", token: withClaims({ exp: now + 0.5 }), is: "form" },
  ...["exp", "iat", "nbf"].map((name) => missing(28, name)),
  { row: 28, name: "exp before iat", token: withClaims({ exp: now - 5 }), is: "time" },
  {
    row: 29,
    name: "exp 1e999",
    token: signJwt(key, JSON.stringify(good).replace(/"exp":\d+/, '"exp":1e999')),
    is: "form",
  },
  { row: 30, name: "valid for 24 h", token: withClaims({ exp: now + 86_400 }), is: "time" },
  { row: 30, name: "valid for 900 s", token: withClaims({ exp: now + 900 }), is: "accepted" },
  { row: 30, name: "valid for 901 s", token: withClaims({ exp: now + 901 }), is: "time" },
  missing(31, "machine_id"),
  { row: 32, name: "machine_id empty", token: withClaims({ machine_id: "" }), is: "form" },
  {
    row: 33,
    name: "other machine, same app",
    token: withClaims({ machine_id: "3d8d377ce9e398" }),
    is: "machine",
  },
  {
    row: 34,
    name: "other app, same org",
    token: withClaims({ app_name: "other", sub: "acme:other:tenant-1" }),
    is: "app",
  },
  { row: 35, name: "other app_id", token: withClaims({ app_id: "23" }), is: "identity-changed" },
  { row: 35, name: "other org_id", token: withClaims({ org_id: "12" }), is: "identity-changed" },
  {
    row: 36,
    name: "machine_id upper case",
    token: withClaims({ machine_id: "148E21EA7E46E8" }),
    is: "form",
  },
  {
    row: 36,
    name: "machine_id spaces",
    token: withClaims({ machine_id: " 148e21ea7e46e8" }),
    is: "form",
  },
  { row: 36, name: "machine_id number", token: withClaims({ machine_id: 148 }), is: "form" },
  {
    row: 37,
    name: "machine_id twice",
    token: withText('"machine_id":"148e21ea7e46e8"'),
    is: "form",
  },
  {
    row: 37,
    name: "machine_id twice, once in disguise",
    token: withText(String.raw`"machine\u005fid":"148e21ea7e46e8"`),
    is: "form",
  },
  {
    row: 38,
    name: "alg twice",
    token: signJwt(key, good, `{"alg":"none","alg":"RS256","kid":"${key.kid}"}`),
    is: "form",
  },
  ...["[]", "null", '"text"', "7", "", "{", "{}x"].map((payload) => ({
    row: 39,
    name: `payload ${payload}`,
    token: signJwt(key, payload),
    is: "form" as const,
  })),
  {
    row: 39,
    name: "invalid UTF-8",
    token: signJwt(key, Buffer.concat([Buffer.from('{"a":"'), Buffer.of(0xff), Buffer.from('"}')])),
    is: "form",
  },
  {
    row: 39,
    name: "byte order mark",
    token: signJwt(key, `\uFEFF${JSON.stringify(good)}`),
    is: "form",
  },
  { row: 40, name: "4 parts", token: `${valid}.x`, is: "form" },
  { row: 40, name: "5 parts", token: `${valid}.x.y`, is: "form" },
  { row: 40, name: "2 parts", token: `${validHeader}.${validPayload}`, is: "form" },
  { row: 40, name: "empty", token: "", is: "form" },
  { row: 40, name: "dots alone", token: "..", is: "form" },
  { row: 41, name: "padding", token: `${valid}=`, is: "form" },
  {
    row: 41,
    name: "padded payload",
    token: `${validHeader}.${validPayload}==.${validSignature}`,
    is: "form",
  },
  { row: 41, name: "+/ alphabet", token: withSlash(), is: "form" },
  { row: 42, name: "trailing space", token: `${valid} `, is: "form" },
  { row: 42, name: "trailing newline", token: `${valid}\n`, is: "form" },
  { row: 43, name: "leading newline", token: `\n${valid}`, is: "form" },
  { row: 44, name: "unused bits of the last character", token: flippedTail(valid), is: "form" },
  { row: 45, name: "1 MiB", token: `${valid}${"A".repeat(1024 * 1024)}`, is: "form" },
  { row: 45, name: "4097 bytes", token: valid.padEnd(4097, "A"), is: "form" },
  { row: 45, name: "header of 64 KiB", token: withHeader({ kid: "k".repeat(65_536) }), is: "form" },
  { row: 45, name: "header of 513 bytes", token: withHeader({ pad: "k".repeat(450) }), is: "form" },
  {
    row: 45,
    name: "header of 513 bytes, all but blank",
    token: signJwt(key, good, JSON.stringify(headerOf(key)).padEnd(513)),
    is: "form",
  },
  {
    row: 45,
    name: "header of 512 bytes, all but blank",
    token: signJwt(key, good, JSON.stringify(headerOf(key)).padEnd(512)),
    is: "accepted",
  },
  { row: 45, name: "4 KiB of blanks", token: padded(4097), is: "form" },
  { row: 45, name: "4096 bytes", token: padded(4096), is: "accepted" },
  { row: 46, name: "signature stripped", token: `${validHeader}.${validPayload}.`, is: "form" },
  {
    row: 46,
    name: "signature of another token",
    token: `${validHeader}.${base64url({ ...good, jti: "x" })}.${validSignature}`,
    is: "signature",
  },
  {
    row: 46,
    name: "signature changed in one bit",
    token: `${validHeader}.${validPayload}.${changedByte(validSignature)}`,
    is: "signature",
  },
  { row: 47, name: "depth 5", token: withText(`"deep":${nested(4)}`), is: "form" },
  { row: 47, name: "depth 4", token: withText(`"deep":${nested(3)}`), is: "accepted" },
  { row: 47, name: "depth 500", token: signJwt(key, nested(500)), is: "form" },
  {
    row: 47,
    name: "200 claims",
    token: withText(Array.from({ length: 200 }, (_, index) => `"c${index}":1`).join(",")),
    is: "form",
  },
];

/** The valid token with a character of the other alphabet in its signature. */
function withSlash(): string {
  const changed = validSignature.replaceAll("_", "/").replaceAll("-", "+");
  return `${validHeader}.${validPayload}.${changed === validSignature ? `${changed}/` : changed}`;
}

/** A valid token of this length, its payload filled up with blanks. */
function padded(length: number): string {
  const signatureLength = validSignature.length;
  const lengths = [0, 1].map((blanks) => {
    const header = `${JSON.stringify(headerOf(key))}${" ".repeat(blanks)}`;
    return { header, payload: length - base64url(header).length - signatureLength - 2 };
  });
  // One character too many is a length that base64url cannot have.
  const fit = lengths.find(({ payload }) => payload % 4 !== 1);
  const bytes = Math.floor(((fit?.payload ?? 0) * 3) / 4);
  return signJwt(key, JSON.stringify(good).padEnd(bytes), fit?.header);
}
