/**
 * What can go wrong between two ends, and whose fault it is.
 *
 * - `WireError`: the bytes are not what the layout says. The peer, or somebody in between, is broken.
 * - `ProtocolError`: well-formed bytes at a moment where they are not allowed.
 * - `RemoteError`: the peer understood us and refused; the code is part of the protocol.
 */

export class WireError extends Error {
  override readonly name = "WireError";
}

export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

/** Stable codes of error replies, as they stand on the wire (docs/protocol.md, "Error codes"). */
export const remoteErrorCodes = [
  "bad-request",
  "unsupported",
  "not-ready",
  "not-found",
  "already-exists",
  "busy",
  "limit",
  "taken-over",
  "gone",
  "ended",
  "forward-refused",
  "forward-unreachable",
  "listen-refused",
  "command-not-found",
  "command-not-executable",
  "command-failed-to-start",
  "archive-format",
  "archive-refused",
  "archive-truncated",
  "digest-mismatch",
  "pieces-changed",
  "download-failed",
  "disk-full",
  "cancelled",
  "workload-failed",
  "internal",
] as const;

export type RemoteErrorCode = (typeof remoteErrorCodes)[number];

export class RemoteError extends Error {
  override readonly name = "RemoteError";
  readonly code: RemoteErrorCode;
  /** One sentence that says what to do, or undefined where the peer knows none. */
  readonly hint: string | undefined;

  constructor(code: RemoteErrorCode, message: string, hint?: string) {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}
