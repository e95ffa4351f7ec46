import { Failure } from "../../../cli/failure.ts";
import type { FailureCode } from "../../../cli/failure-codes.ts";
import { StreamError } from "../../../protocol/byte-stream.ts";
import {
  ProtocolError,
  RemoteError,
  type RemoteErrorCode,
  WireError,
} from "../../../protocol/errors.ts";
import { type CloseReason, closeCodes, ConnectionClosed } from "../../../quic/connection.ts";

/** What a refusal of the machine is for its user. The machine's own words become the cause. */
interface Refusal {
  readonly code: FailureCode;
  readonly message: (vault: string) => string;
  readonly fix?: (vault: string) => string;
}

const refusals: Readonly<Record<RemoteErrorCode, Refusal>> = {
  "bad-request": {
    code: "FV-INT-001",
    message: (vault) => `"${vault}" did not understand what this client asked for`,
  },
  unsupported: {
    code: "FV-VER-001",
    message: (vault) => `"${vault}" cannot do this yet`,
    fix: () => "update the machine:  fly machine update ID --image IMAGE",
  },
  "not-ready": {
    code: "FV-VM-001",
    message: (vault) => `"${vault}" has no root filesystem yet`,
    fix: (vault) => `set rootfs or rootfs_url for it, then  fly-vault connect ${vault}`,
  },
  "not-found": {
    code: "FV-SES-001",
    message: (vault) => `there is no such session on "${vault}"`,
    fix: (vault) => `fly-vault sessions ${vault}`,
  },
  "already-exists": {
    code: "FV-SES-002",
    message: (vault) => `a session of that name is there already on "${vault}"`,
    fix: (vault) => `fly-vault sessions ${vault}`,
  },
  busy: {
    code: "FV-NET-004",
    message: (vault) => `"${vault}" is busy`,
    fix: () => "try again in a minute",
  },
  limit: {
    code: "FV-NET-004",
    message: (vault) => `"${vault}" has reached one of its limits`,
  },
  "taken-over": {
    code: "FV-SES-002",
    message: (vault) => `the session on "${vault}" was taken over by another client`,
    fix: (vault) => `fly-vault connect ${vault}  takes it back`,
  },
  gone: {
    code: "FV-SES-003",
    message: (vault) => `the session on "${vault}" is gone`,
    fix: (vault) => `fly-vault sessions ${vault} --all  lists what is there`,
  },
  ended: {
    code: "FV-SES-005",
    message: (vault) => `the session on "${vault}" has ended already`,
    fix: (vault) => `fly-vault sessions ${vault} --all`,
  },
  "forward-refused": {
    code: "FV-FWD-003",
    message: (vault) => `nothing listens on that port of "${vault}"`,
  },
  "forward-unreachable": {
    code: "FV-FWD-003",
    message: (vault) => `the target cannot be reached from "${vault}"`,
  },
  "listen-refused": {
    code: "FV-FWD-004",
    message: (vault) => `"${vault}" cannot listen there`,
  },
  "command-not-found": {
    code: "FV-EXE-003",
    message: (vault) => `the command was not found on "${vault}"`,
  },
  "command-not-executable": {
    code: "FV-EXE-002",
    message: (vault) => `the command on "${vault}" is not executable`,
  },
  "command-failed-to-start": {
    code: "FV-EXE-001",
    message: (vault) => `the command could not be started on "${vault}"`,
  },
  "archive-format": {
    code: "FV-PROV-002",
    message: (vault) => `"${vault}" cannot read this as an archive`,
    fix: () =>
      "it must be a tar file, plain or packed with gzip or zstd; the old rootfs is untouched",
  },
  "archive-refused": {
    code: "FV-PROV-002",
    message: (vault) => `"${vault}" refused the archive`,
    fix: () => "leave the entry out and pack the archive again; the old rootfs is untouched",
  },
  "archive-truncated": {
    code: "FV-PROV-003",
    message: () => "the archive is cut short",
    fix: () => "make or copy the archive again; the old rootfs is untouched",
  },
  "digest-mismatch": {
    code: "FV-PROV-005",
    message: () => "the archive is not the one whose digest was given",
    fix: () => "compare with  sha256sum FILE;  the old rootfs is untouched",
  },
  "pieces-changed": {
    code: "FV-PROV-008",
    message: (vault) => `files of "${vault}" changed while they were compared with the archive`,
    fix: () => "start it again with --whole; nothing was changed",
  },
  "download-failed": {
    code: "FV-PROV-006",
    message: (vault) => `"${vault}" could not download the archive`,
    fix: () => "check the URL; the machine itself must be able to reach it",
  },
  "disk-full": {
    code: "FV-PROV-004",
    message: (vault) => `the disk of "${vault}" is full`,
    fix: () =>
      "use a larger volume (fly volumes extend) or a smaller rootfs; the old one is untouched",
  },
  cancelled: {
    code: "FV-PROV-008",
    message: () => "the work was cancelled before it was done",
    fix: () => "nothing was changed; start it again",
  },
  "workload-failed": {
    code: "FV-PROV-007",
    message: (vault) => `the root filesystem of "${vault}" did not boot`,
    fix: (vault) =>
      `check that it has /sbin/init or /bin/sh, then  fly-vault connect ${vault} --reprovision`,
  },
  internal: {
    code: "FV-VM-003",
    message: (vault) => `"${vault}" met an error of its own`,
    fix: () => "look at the machine's log:  fly logs",
  },
};

export function fromRemoteError(error: RemoteError, vault: string): Failure {
  const refusal = refusals[error.code];
  const fix = error.hint ?? refusal.fix?.(vault);
  return new Failure(refusal.code, refusal.message(vault), {
    because: error.message,
    ...(fix === undefined ? {} : { fix }),
  });
}

/** A connection that ended although nobody here wanted it to. */
export function fromCloseReason(reason: CloseReason, vault: string): Failure {
  switch (reason.kind) {
    case "handshake-timeout":
      return noAnswer(vault, "packets were sent, none came back");
    case "idle":
      return lost(vault, "nothing was heard from it any more");
    case "local":
      return lost(vault, reason.reason === "" ? "it was closed here" : reason.reason);
    case "transport":
      return lost(vault, `QUIC: ${reason.reason} (${reason.code})`);
    case "peer-transport":
      return lost(vault, `the other side closed it: ${reason.reason} (QUIC ${reason.code})`);
    case "peer-application":
      return fromCloseCode(reason.code, reason.reason, vault);
  }
}

function fromCloseCode(code: number, reason: string, vault: string): Failure {
  switch (code) {
    case closeCodes.loginFailed:
      return new Failure("FV-AUTH-001", `"${vault}" refused the access token`, {
        because: "its attestation was fine, so it is the right machine; it knows another token",
        fix: "compare with the token the machine was created with (ACCESS_TOKEN)",
      });
    case closeCodes.busy:
      return new Failure("FV-NET-004", `"${vault}" is busy`, {
        because: reason === "" ? "too many logins at once" : reason,
        fix: "try again in a few seconds",
      });
    case closeCodes.attestationUnavailable:
      return new Failure("FV-ATT-008", `"${vault}" could not get evidence from Fly`, {
        because: reason === "" ? "Fly's service in the machine did not answer" : reason,
        fix: "try again in a minute; if it stays so, restart the machine",
      });
    case closeCodes.version:
      return new Failure("FV-VER-001", `"${vault}" and this client speak no common version`, {
        because: reason === "" ? "the machine said so" : reason,
        fix: "update the older of the two",
      });
    case closeCodes.shuttingDown:
      return new Failure("FV-VM-002", `the machine of "${vault}" is shutting down`, {
        because: reason === "" ? "it said so" : reason,
        fix: "start it again:  fly machine start",
      });
    default:
      return lost(vault, `it closed the connection (${code}${reason === "" ? "" : `, ${reason}`})`);
  }
}

/** Whatever a request or a session on an open link can reject with; what is not ours is given back. */
export function asFailure(error: unknown, vault: string): unknown {
  if (error instanceof RemoteError) return fromRemoteError(error, vault);
  if (error instanceof ConnectionClosed) return fromCloseReason(error.reason, vault);
  if (error instanceof StreamError) return fromStreamError(error, vault);
  if (error instanceof WireError || error instanceof ProtocolError)
    return new Failure("FV-INT-001", `"${vault}" sent something this client cannot read`, {
      because: error.message,
      fix: "make sure that client and machine are of the same version:  fly-vault --version",
    });
  return error;
}

function fromStreamError(error: StreamError, vault: string): Failure {
  switch (error.kind) {
    case "connection-lost":
      return lost(vault, error.message);
    case "reset":
    case "stopped":
      return lost(vault, `the machine gave the stream up (${error.resetCode ?? error.kind})`);
    case "aborted":
      return lost(vault, "it was given up here");
  }
}

export const letsUdpOut = "that this network lets UDP out";

/** `see`: what else may be wrong, as clauses. */
export function noAnswer(
  vault: string,
  because: string,
  see: readonly string[] = [letsUdpOut],
): Failure {
  const causes = ["that the machine is started (fly machine list)", ...see];
  return new Failure("FV-NET-002", `"${vault}" did not answer`, {
    because,
    fix: `see ${causes.join("; ")}`,
  });
}

function lost(vault: string, because: string): Failure {
  return new Failure("FV-NET-003", `the link to "${vault}" was lost`, { because });
}
