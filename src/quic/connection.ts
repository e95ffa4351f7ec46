import type { ByteStream } from "../protocol/byte-stream.ts";

/** What the rest of the program sees of QUIC. `Endpoint` in endpoint.ts makes these; nothing above knows quiche. */
export interface Connection {
  /** A new bidirectional stream; waits while the peer's stream limit is reached. Rejects with `ConnectionClosed`. */
  openStream(): Promise<ByteStream>;
  /** The peer's next stream, or null once the connection is over. */
  acceptStream(): Promise<ByteStream | null>;
  /** RFC 9266 channel binding: TLS exporter "EXPORTER-Channel-Binding", empty context, 32 bytes; the same at both ends. */
  readonly channelBinding: Uint8Array;
  /** The server's leaf certificate, DER: as received on the client, as sent on the server. */
  readonly serverCertificate: Uint8Array;
  /** Number of certificates the server sent (client side); login wants exactly one. */
  readonly serverCertificateCount: number;
  readonly alpn: string;
  readonly remoteAddress: SocketAddress;
  /** Tells the peer and gives all streams up; idempotent. */
  close(code: number, reason: string): void;
  /** Resolves once, when the connection is over for whatever reason. Never rejects. */
  readonly closed: Promise<CloseReason>;
  stats(): ConnectionStats;
  /** Milliseconds since the peer was last heard, by the monotonic clock. */
  quietMs(): number;
  /** Asks the peer for a sign of life, which also tells it where we are now. */
  ping?(): void;
}

export interface SocketAddress {
  /** Numeric, without brackets. */
  readonly host: string;
  readonly port: number;
}

export type CloseReason =
  | { readonly kind: "local"; readonly code: number; readonly reason: string }
  | { readonly kind: "peer-application"; readonly code: number; readonly reason: string }
  | { readonly kind: "peer-transport"; readonly code: number; readonly reason: string }
  | { readonly kind: "transport"; readonly code: number; readonly reason: string }
  | { readonly kind: "idle" }
  | { readonly kind: "handshake-timeout" };

export interface ConnectionStats {
  readonly rttMs: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly sentPackets: number;
  readonly receivedPackets: number;
  readonly lostPackets: number;
  readonly paths: number;
  /** What our datagrams may have; more than the peer's, perhaps. */
  readonly datagramBytes: number;
}

/** The connection cannot be used (any more). */
export class ConnectionClosed extends Error {
  override readonly name = "ConnectionClosed";
  readonly reason: CloseReason;

  constructor(reason: CloseReason) {
    super(`Connection closed: ${reason.kind}${"reason" in reason ? ` (${reason.reason})` : ""}`);
    this.reason = reason;
  }
}

/** Application close codes (docs/protocol.md, "Close codes"). */
export const closeCodes = {
  done: 0,
  loginFailed: 1,
  busy: 2,
  attestationUnavailable: 3,
  version: 4,
  shuttingDown: 5,
  protocol: 6,
} as const;
