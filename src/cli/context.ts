import type { ColourWish } from "./colour-wish.ts";
import type { RunLog } from "./run-log.ts";

/** Everything a command may touch, handed in: a test is this value with buffers in it. */
export interface Context {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What this computer calls itself. */
  readonly hostName: string;
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
  /** `--no-input`, or `--json`: nobody is asked anything. */
  readonly noInput?: boolean;
  /** `--color`; absent: by what the output and the environment say. */
  readonly colour?: ColourWish;
  readonly randomBytes: (length: number) => Uint8Array;
  /** Runs when the user asks to stop (SIGINT, SIGTERM, SIGHUP); returns the way to unsubscribe. */
  readonly onStop: (listener: (signal: "SIGINT" | "SIGTERM" | "SIGHUP") => void) => () => void;
  /** Stops this process for the shell it came from, as Ctrl-Z does; goes on when that continues it. */
  readonly suspend: () => void;
  /** Runs when the process goes on after it was stopped, with the terminal in the mode it had. */
  readonly onContinue: (listener: () => void) => () => void;
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
   * `lines` gives the terminal back as it was found. In the other modes it is given back however the
   * process ends; `screen` names the bytes that undo, and redo, what the remote screen had switched on.
   */
  setMode(mode: InputMode, screen?: ScreenModes): void;
}

/** `keys`: each key at once and without an echo, Ctrl-C is still a signal. `raw`: nothing but bytes. */
export type InputMode = "lines" | "keys" | "raw";

export interface ScreenModes {
  undo(): string;
  redo(): string;
}

export class BrokenPipe extends Error {
  override readonly name = "BrokenPipe";
}

/** As a shell shows a command that was ended by SIGPIPE. */
export const brokenPipeExitCode = 141;
