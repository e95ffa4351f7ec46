import type { RunLog } from "./run-log.ts";

/** Everything a command may touch, handed in: a test is this value with buffers in it. */
export interface Context {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: InputStream;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  /** The current folder; absent: the process's. */
  readonly cwd?: string;
  /** Monotonic milliseconds. */
  readonly monotonicMs: () => number;
  /** Wall clock, milliseconds since 1970. */
  readonly wallMs: () => number;
  /** Waits so many milliseconds; absent where nothing but the real clock will do. */
  readonly sleep?: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
  /** Of this run, where one is kept. */
  readonly log?: RunLog;
  readonly randomBytes: (length: number) => Uint8Array;
  /** Runs when the user asks to stop (SIGINT, SIGTERM, SIGHUP); returns the way to unsubscribe. */
  readonly onStop: (listener: (signal: "SIGINT" | "SIGTERM" | "SIGHUP") => void) => () => void;
}

export interface OutputStream {
  readonly isTty: boolean;
  readonly columns: number;
  readonly rows: number;
  /** Resolves when the bytes are out or taken by the pipe's buffer. A closed pipe rejects with `BrokenPipe`. */
  write(data: string | Uint8Array): Promise<void>;
  onResize(listener: () => void): () => void;
}

export interface InputStream {
  readonly isTty: boolean;
  /** Chunks until EOF. */
  read(): AsyncIterable<Uint8Array>;
  /**
   * The terminal is put back however the process ends; `restoreWith` then names the bytes that undo
   * what the remote screen had switched on.
   */
  setRawMode(raw: boolean, restoreWith?: () => string): void;
}

export class BrokenPipe extends Error {
  override readonly name = "BrokenPipe";
}
