import { hostname } from "node:os";
import type { ReadStream } from "node:tty";
import { isHangupIgnored } from "../system/hangup.ts";
import { isTerminal } from "../system/is-terminal.ts";
import type { Context, InputStream } from "./context.ts";
import { processOutput } from "./process-output.ts";
import { ProcessTerminal } from "./process-terminal.ts";

type StopSignal = "SIGINT" | "SIGTERM" | "SIGHUP";
const stopSignals: readonly StopSignal[] = ["SIGINT", "SIGTERM", "SIGHUP"];

export interface ProcessContextOptions {
  /** A SIGHUP that was ignored from the start stays so: for what people start with `nohup`. */
  readonly heedsNohup?: boolean;
}

export interface ProcessContext extends Context {
  /** Ends the process: with this status, or by the Ctrl-C that brought the status about. */
  readonly exit: (status: number) => never;
}

/** The real process, as commands see it. One per process: it owns stdio, the signals and the terminal. */
export function processContext({ heedsNohup = false }: ProcessContextOptions = {}): ProcessContext {
  const terminal = new ProcessTerminal();
  const stops = new StopListeners(terminal, heedsNohup && isHangupIgnored());
  return {
    env: process.env,
    get hostName() {
      return hostname();
    },
    stdin: processInput(terminal),
    stdout: processOutput(1),
    stderr: processOutput(2),
    monotonicMs: () => performance.now(),
    wallMs: () => Date.now(),
    randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
    onStop: (listener) => stops.subscribe(listener),
    suspend: () => terminal.suspend(),
    onContinue: (listener) => terminal.onContinue(listener),
    exit: (status) => stops.exit(status),
  };
}

/** With nobody listening a signal does what it always does, after the terminal was put back. */
class StopListeners {
  readonly #terminal: ProcessTerminal;
  readonly #listeners = new Set<(signal: StopSignal) => void>();
  #wasInterrupted = false;

  constructor(terminal: ProcessTerminal, staysAtHangup: boolean) {
    this.#terminal = terminal;
    for (const signal of stopSignals)
      if (signal !== "SIGHUP" || !staysAtHangup) process.on(signal, this.#receive);
    process.on("SIGQUIT", this.#die);
  }

  subscribe(listener: (signal: StopSignal) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** A shell goes on with its loop after a program that exits, with 130 as well, and stops after one that died of the signal. */
  exit(status: number): never {
    if (this.#wasInterrupted && status === interruptedStatus) this.#die("SIGINT");
    // oxlint-disable-next-line unicorn/no-process-exit -- the one place that is asked to
    return process.exit(status);
  }

  readonly #receive = (signal: StopSignal): void => {
    this.#wasInterrupted ||= signal === "SIGINT";
    if (this.#listeners.size > 0) {
      for (const listener of this.#listeners) listener(signal);
      return;
    }
    this.#die(signal);
  };

  /** As it would have without us, but for the terminal. */
  readonly #die = (signal: NodeJS.Signals): void => {
    this.#terminal.restore();
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  };
}

const interruptedStatus = 130;

/** Touches `process.stdin` only when somebody asks for it: opening it changes the terminal's state. */
function processInput(terminal: ProcessTerminal): InputStream {
  return {
    get isTty() {
      return isTerminal(0);
    },
    read: () => (isTerminal(0) ? readTerminal(process.stdin) : readPipe()),
    setMode: (mode, screen) => terminal.setMode(mode, screen),
  };
}

/**
 * Bun's own stream of standard input: `process.stdin`, paused and resumed for back-pressure, was seen to
 * spin for ever at the end of a pipe on a busy machine. An error of reading is an end.
 */
async function* readPipe(): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of Bun.stdin.stream()) yield chunk;
  } catch (error) {
    // A folder, a terminal that is gone: there is nothing to read.
    if (!(error instanceof Error) || !("syscall" in error)) throw error;
  }
}

/** What is typed; the raw mode is `process.stdin`'s, so it is read there. */
async function* readTerminal(stream: ReadStream): AsyncGenerator<Uint8Array> {
  let wake: (() => void) | undefined;
  let ended = false;
  const chunks: Uint8Array[] = [];
  const onData = (chunk: Uint8Array): void => {
    chunks.push(chunk);
    stream.pause();
    wake?.();
  };
  const onEnd = (): void => {
    ended = true;
    wake?.();
  };
  stream.on("data", onData).on("end", onEnd).on("error", onEnd);
  try {
    for (;;) {
      const chunk = chunks.shift();
      if (chunk !== undefined) yield chunk;
      else if (ended) return;
      else {
        stream.resume();
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    stream.off("data", onData).off("end", onEnd).off("error", onEnd);
    stream.pause();
  }
}
