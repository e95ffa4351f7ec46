/**
 * One ordered, flow-controlled, bidirectional stream of bytes whose halves close apart:
 * a QUIC stream, a Unix or TCP socket, or a pair in memory. All layers above speak this.
 */
export interface ByteStream {
  /**
   * The next bytes (never empty), or null once the peer has ended its half.
   * The array belongs to the caller. One read at a time. Rejects with `StreamError`.
   */
  read(): Promise<Uint8Array | null>;
  /**
   * Takes all of `bytes`; resolves when the stream has room again (back-pressure), not when the
   * peer has read. The array must not change before it resolves. Rejects with `StreamError`.
   */
  write(bytes: Uint8Array): Promise<void>;
  /** Ends our half (FIN) after what was written. Reading goes on. Idempotent. */
  end(): Promise<void>;
  /** Gives both halves up at once; the peer hears `code`, as a rule. Idempotent. */
  abort(code: number): void;
}

export type StreamErrorKind = "reset" | "stopped" | "connection-lost" | "aborted";

/** Why a stream can no longer be read or written. */
export class StreamError extends Error {
  override readonly name = "StreamError";
  readonly kind: StreamErrorKind;
  /** Application code of the peer's reset, where there is one. */
  readonly resetCode: number | undefined;

  constructor(kind: StreamErrorKind, message: string, resetCode?: number) {
    super(message);
    this.kind = kind;
    this.resetCode = resetCode;
  }
}
