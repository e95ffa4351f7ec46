import type { FailureCode } from "../../../cli/failure-codes.ts";
import { AttestationError } from "../../../fly/attestation-error.ts";
import { JwksError } from "../../../fly/jwks-fetch.ts";
import { TokenError } from "../../../fly/token.ts";
import type { LoginClientCause } from "../../../protocol/login-client.ts";
import { protocolVersion } from "../../../protocol/limits.ts";
import { type CloseReason, closeCodes } from "../../../quic/connection.ts";
import { KnownMachineError } from "../vault/known-machines.ts";
import { LoginFailure, type LoginFailureDetails } from "./login-failure.ts";

/** For errors thrown by the checks. Undefined for what is none of them: a bug, or a lost stream. */
export function failureOfError(error: unknown, vault: string): LoginFailure | undefined {
  if (error instanceof AttestationError) return attestationFailure(error, vault);
  if (error instanceof JwksError)
    return new LoginFailure("FV-ATT-005", "the evidence could not be checked", {
      because: error.message,
      fix: "see whether this computer reaches the issuer over https, then try again",
      retryable: true,
    });
  if (error instanceof TokenError) {
    const empty = error.strength === "empty";
    return new LoginFailure(
      empty ? "FV-CFG-008" : "FV-CFG-004",
      empty
        ? `vault "${vault}" has no access token`
        : `the access token of vault "${vault}" is wrong`,
      { because: error.message },
    );
  }
  if (error instanceof KnownMachineError)
    return new LoginFailure("FV-SYS-001", `cannot tell which machine vault "${vault}" is`, {
      because: `${error.message}: ${error.path}`,
      fix: `look at that file; to see the machine and remember it anew:  fly-vault trust ${vault}`,
    });
  return undefined;
}

function attestationFailure(error: AttestationError, vault: string): LoginFailure {
  const [code, message] = attestationFailures[error.code];
  const fix = fixes[error.code];
  return new LoginFailure(code, message.replace("%", vault), {
    because: `${error.message}; nothing derived from the token was sent`,
    ...(fix === undefined ? {} : { fix }),
  });
}

export function failureOfCause(cause: LoginClientCause, message: string): LoginFailure {
  switch (cause) {
    case "evidence-timeout":
    case "accept-timeout":
      return new LoginFailure("FV-NET-005", "the machine did not finish the login", {
        because: message,
        retryable: true,
      });
    case "malformed":
    case "wrong-order":
      return new LoginFailure("FV-ATT-006", "what answered does not speak the login of fly-vault", {
        because: message,
        fix: "check the address of the vault",
      });
    case "server-proof":
      return interception("FV-ATT-007", "the machine does not know the access token", {
        because: `${message}; the token was not sent, and the proof sent fits this connection alone`,
        fix: "compare access_token with the machine's; if they are equal, use another network",
      });
    case "version":
      return new LoginFailure("FV-VER-001", "the machine is too old for this client", {
        because: `${message}; this client speaks ${ownVersions()}`,
        fix: "update the machine:  fly machine update ID --image IMAGE",
      });
  }
}

/** The connection broke off, by the machine or on the way. */
export function failureOfClose(reason: CloseReason, proofSent: boolean): LoginFailure {
  if (reason.kind !== "peer-application" || beingReplaced.has(reason.code))
    return new LoginFailure("FV-NET-003", "the link was lost during the login", {
      because: describe(reason),
      retryable: true,
    });
  switch (reason.code) {
    case closeCodes.loginFailed:
      return proofSent ? refusedToken() : notFinished("the machine gave the login up");
    case closeCodes.busy: {
      const retryAfterMs = readRetryAfterMs(reason.reason);
      return new LoginFailure("FV-NET-004", "the machine is busy with other logins", {
        because: `Fly gives a machine about one token a second; free in ${retryAfterMs / 1000} s`,
        fix: "try again in a moment",
        retryable: true,
        retryAfterMs,
      });
    }
    case closeCodes.attestationUnavailable:
      return new LoginFailure("FV-ATT-008", "the machine could not get evidence from Fly", {
        because: "its call to /.fly/api failed",
        fix: "try again; the machine's log says why it failed",
        retryable: true,
      });
    case closeCodes.version:
      return new LoginFailure("FV-VER-001", "this client is too old for the machine", {
        because: `the machine speaks ${readVersions(reason.reason)}, this client ${ownVersions()}`,
        fix: "update fly-vault on this computer",
      });
    default:
      return notFinished(describe(reason));
  }
}

/** `done` before we are done, or a link that shuts down: the next one may be there in a moment. */
const beingReplaced: ReadonlySet<number> = new Set([closeCodes.done, closeCodes.shuttingDown]);

/** Before HELLO: the connection itself is not one we log in over. */
export function channelFailure(because: string): LoginFailure {
  return interception("FV-ATT-001", "the connection is not one that init makes", { because });
}

/** The machine is not the one of first use. */
export function changedMachine(vault: string, before: string, now: string): LoginFailure {
  return interception("FV-ATT-004", `vault "${vault}" is another machine than before`, {
    because: `first seen was machine ${before}, now it is ${now}; nothing of the token was sent`,
    fix: replaced(vault),
  });
}

/** The vault has `pin_image`, and the image is not the one of first use. */
export function changedImage(
  vault: string,
  before: string | undefined,
  now: string | undefined,
): LoginFailure {
  return interception("FV-ATT-010", `the machine of "${vault}" runs another image than before`, {
    because: `first seen was ${before ?? "none"}, now it is ${now ?? "none"}; nothing of the token was sent`,
    fix: replaced(vault),
  });
}

export function oldInit(vault: string, version: string, least: string): LoginFailure {
  return new LoginFailure("FV-ATT-011", `the init of vault "${vault}" is older than allowed`, {
    because: `it is ${version}, attest.min_init_version is ${least}`,
    fix: "have the machine updated to a newer image",
  });
}

function replaced(vault: string): string {
  return `ask whoever runs the machine whether that was changed; if it was:  fly-vault trust ${vault}`;
}

function refusedToken(): LoginFailure {
  return new LoginFailure("FV-AUTH-001", "the machine refused the access token", {
    because: "it is the right machine, attested by Fly, but its ACCESS_TOKEN is another",
    fix: "compare access_token in the configuration with the one the tenant was created with",
  });
}

function notFinished(because: string): LoginFailure {
  return new LoginFailure("FV-NET-005", "the machine did not finish the login", {
    because,
    retryable: true,
  });
}

function interception(
  code: FailureCode,
  message: string,
  details: LoginFailureDetails,
): LoginFailure {
  return new LoginFailure(code, `possible interception: ${message}`, details);
}

/** Server text is parsed, never shown: nothing of it is authenticated. */
function readRetryAfterMs(reason: string): number {
  const digits = /^retry-after-ms=(\d{1,5})$/.exec(reason)?.[1];
  return digits === undefined ? 1000 : Number(digits);
}

function readVersions(reason: string): string {
  const range = /^versions=(\d{1,3})-(\d{1,3})$/.exec(reason);
  return range === null ? "newer versions" : `versions ${range[1]} to ${range[2]}`;
}

function ownVersions(): string {
  return `versions ${protocolVersion.oldest} to ${protocolVersion.newest}`;
}

function describe(reason: CloseReason): string {
  return "code" in reason ? `${reason.kind}, code ${reason.code}` : reason.kind;
}

const attestationFailures: Record<AttestationError["code"], readonly [FailureCode, string]> = {
  form: ["FV-ATT-006", 'the evidence of vault "%" is malformed'],
  time: ["FV-ATT-006", 'the evidence of vault "%" is out of time'],
  key: ["FV-ATT-002", 'possible interception: the evidence of vault "%" is not signed by Fly'],
  signature: [
    "FV-ATT-002",
    'possible interception: the evidence of vault "%" is not signed by Fly',
  ],
  audience: [
    "FV-ATT-001",
    'possible interception: the evidence of vault "%" is for another connection',
  ],
  issuer: ["FV-ATT-003", 'vault "%" is answered by a machine of another organisation'],
  app: ["FV-ATT-003", 'vault "%" is answered by a machine of another app'],
  machine: ["FV-ATT-003", 'vault "%" is answered by another machine'],
  "identity-changed": ["FV-ATT-004", 'possible interception: vault "%" is another app than before'],
  image: ["FV-ATT-009", 'the machine of vault "%" runs an image that is not allowed'],
};

const distrust = "use another network; if it stays, ask whoever runs the machine or the proxy";
const compare = "compare org, app, machine_id and address in the configuration";

const fixes: Partial<Record<AttestationError["code"], string>> = {
  time: "set the clock of this computer right, then try again",
  key: distrust,
  signature: distrust,
  audience: distrust,
  issuer: compare,
  app: compare,
  machine: compare,
};
