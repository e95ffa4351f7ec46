import type { JWK } from "jose";
import type { MachineName } from "../protocol/transcript.ts";
import { AttestationError } from "./attestation-error.ts";
import { digests } from "./digests.ts";
import { type Claims, parseJwt, readClaims, verifySignature } from "./jwt.ts";
import { flyLimits } from "./limits.ts";

/** What the evidence has to say for us to believe that the right machine is at the other end. */
export interface ExpectedMachine {
  /** Exactly the `iss` claim; the signing keys come from below this address and nowhere else. */
  readonly issuer: string;
  readonly org: string;
  readonly app: string;
  /** Absent only on first use, when any machine of the app is taken and then remembered. */
  readonly machineId?: string;
  /** From first use. Names are given anew after deletion, ids are not. */
  readonly orgId?: string;
  readonly appId?: string;
  /** When set, the machine's image must be one of these (`sha256:…`). */
  readonly imageDigests?: readonly string[];
}

export interface EvidenceContext {
  /** The issuer's key of that id. Rejects with `AttestationError` of code `key`, or `JwksError`. */
  readonly key: (kid: string) => Promise<JWK>;
  /** The audience of this very connection, were its far end this machine. */
  readonly audience: (machine: MachineName) => string;
  /** When HELLO went out: evidence made before it is not about this connection. */
  readonly helloMs: number;
  /** Wall clock. */
  readonly nowMs: number;
}

/** Fly's word on who is at the other end of this connection. Made by `verifyEvidence` alone. */
export interface AttestedMachine {
  readonly issuer: string;
  readonly orgId: string;
  readonly appId: string;
  readonly appName: string;
  readonly machineId: string;
  readonly machineName: string | undefined;
  readonly region: string | undefined;
  readonly image: string | undefined;
  readonly imageDigest: string | undefined;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

/** Checks 5 to 7 of docs/login.md, in their order. Nothing is remembered: every connection asks anew. */
export async function verifyEvidence(
  evidence: Uint8Array,
  expected: ExpectedMachine,
  context: EvidenceContext,
): Promise<AttestedMachine> {
  const jwt = parseJwt(evidence);
  await verifySignature(jwt, await context.key(jwt.kid));
  const claims = readClaims(jwt);
  checkIssuer(claims, expected);
  checkAudience(claims, context);
  checkTimes(claims, context);
  checkNames(claims, expected);
  checkIds(claims, expected);
  checkImage(claims, expected);
  return attested(claims);
}

function checkIssuer(claims: Claims, expected: ExpectedMachine): void {
  if (claims.iss !== expected.issuer)
    throw new AttestationError(
      "issuer",
      `The evidence is from ${claims.iss}, expected ${expected.issuer}`,
    );
  // Fly's issuers end in the organisation; where a configured one does not, the claim has to say it.
  const orgStated = expected.issuer.endsWith(`/${expected.org}`);
  if (!orgStated && claims.org_name !== expected.org)
    throw new AttestationError(
      "issuer",
      `The machine is of organisation ${claims.org_name ?? "unknown"}, expected ${expected.org}`,
    );
}

/**
 * The audience is computed for the app and machine that the evidence names. Those names are compared
 * with the expected ones afterwards, so the sum is the same as computing it for the expected ones;
 * but another machine is called another machine, and a wrong channel a wrong channel.
 */
function checkAudience(claims: Claims, context: EvidenceContext): void {
  const expected = context.audience({ appName: claims.app_name, machineId: claims.machine_id });
  const encoder = new TextEncoder();
  if (!digests.equal(encoder.encode(claims.aud), encoder.encode(expected)))
    throw new AttestationError("audience", "The evidence was issued for another connection");
}

function checkTimes(claims: Claims, context: EvidenceContext): void {
  const { iat, nbf, exp } = claims;
  const nowS = context.nowMs / 1000;
  if (exp - iat > flyLimits.lifetimeMs / 1000 || exp < iat)
    throw outOfTime(`it is valid for ${exp - iat} s`);
  if (iat < (context.helloMs - flyLimits.issuedBeforeHelloMs) / 1000)
    throw outOfTime(`it was issued ${age(nowS - iat)} s ago, before this connection`);
  const aheadS = flyLimits.clockAheadMs / 1000;
  if (Math.max(iat, nbf) >= nowS + aheadS)
    throw outOfTime(`it is from ${age(Math.max(iat, nbf) - nowS)} s in the future`);
  if (exp < nowS - flyLimits.expiredMs / 1000)
    throw outOfTime(`it expired ${age(nowS - exp)} s ago`);
}

function checkNames(claims: Claims, expected: ExpectedMachine): void {
  const { app_name: app, sub } = claims;
  if (app !== expected.app)
    throw new AttestationError("app", `The machine is of app ${app}, expected ${expected.app}`);
  const [org, subjectApp, machineName, ...more] = sub.split(":");
  const whole = org !== undefined && org !== "" && machineName !== undefined && machineName !== "";
  const consistent =
    subjectApp === app &&
    (claims.org_name === undefined || org === claims.org_name) &&
    (claims.machine_name === undefined || machineName === claims.machine_name);
  if (!whole || more.length > 0 || !consistent)
    throw new AttestationError("form", `The subject ${sub} does not fit the other claims`);
}

function checkIds(claims: Claims, expected: ExpectedMachine): void {
  if (expected.machineId !== undefined && claims.machine_id !== expected.machineId)
    throw new AttestationError(
      "machine",
      `The machine is ${claims.machine_id}, expected ${expected.machineId}`,
    );
  const changed =
    (expected.appId !== undefined && claims.app_id !== expected.appId) ||
    (expected.orgId !== undefined && claims.org_id !== expected.orgId);
  if (changed)
    throw new AttestationError(
      "identity-changed",
      `The app has id ${claims.app_id} in organisation ${claims.org_id}, ` +
        `before it was ${expected.appId ?? "unknown"} in ${expected.orgId ?? "unknown"}`,
    );
}

function checkImage(claims: Claims, expected: ExpectedMachine): void {
  const allowed = expected.imageDigests;
  if (allowed === undefined) return;
  if (claims.image_digest === undefined || !allowed.includes(claims.image_digest))
    throw new AttestationError(
      "image",
      `The machine runs image ${claims.image_digest ?? "unknown"}, which is not on the list`,
    );
}

function attested(claims: Claims): AttestedMachine {
  return {
    issuer: claims.iss,
    orgId: claims.org_id,
    appId: claims.app_id,
    appName: claims.app_name,
    machineId: claims.machine_id,
    machineName: claims.machine_name,
    region: claims.region,
    image: claims.image,
    imageDigest: claims.image_digest,
    issuedAtMs: claims.iat * 1000,
    expiresAtMs: claims.exp * 1000,
  };
}

function outOfTime(what: string): AttestationError {
  return new AttestationError("time", `The evidence is out of time: ${what}`);
}

function age(seconds: number): number {
  return Math.round(seconds);
}
