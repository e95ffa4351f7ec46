import type { Context } from "../../src/cli/context.ts";

export interface MemoryContext extends Context {
  readonly out: () => string;
  readonly err: () => string;
  readonly outBytes: () => Uint8Array;
  /** As if the user had pressed Ctrl-C, or the system had sent the signal. */
  readonly stop: (signal: "SIGINT" | "SIGTERM" | "SIGHUP") => void;
}

/** A context with buffers in it. */
export function memoryContext(
  options: {
    readonly env?: Readonly<Record<string, string>>;
    readonly stdin?: Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
    readonly tty?: boolean;
    readonly columns?: number;
    readonly onOut?: (bytes: Uint8Array) => void | Promise<void>;
  } = {},
): MemoryContext {
  const out: Uint8Array[] = [];
  const err: Uint8Array[] = [];
  const listeners = new Set<(signal: "SIGINT" | "SIGTERM" | "SIGHUP") => void>();
  const sink = (chunks: Uint8Array[], seen?: (bytes: Uint8Array) => void | Promise<void>) => ({
    isTty: options.tty ?? false,
    columns: options.columns ?? 80,
    rows: 24,
    async write(data: string | Uint8Array) {
      const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data.slice();
      chunks.push(bytes);
      await seen?.(bytes);
    },
    onResize: () => () => undefined,
  });
  return {
    env: options.env ?? {},
    hostName: "laptop-a.example",
    stdin: {
      isTty: options.tty ?? false,
      async *read() {
        yield* options.stdin ?? [];
      },
      setMode: () => undefined,
    },
    stdout: sink(out, options.onOut),
    stderr: sink(err),
    monotonicMs: () => performance.now(),
    wallMs: () => Date.now(),
    randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
    onStop: (listener) => {
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
      };
    },
    suspend: () => undefined,
    onContinue: () => () => undefined,
    out: () => Buffer.concat(out).toString(),
    err: () => Buffer.concat(err).toString(),
    outBytes: () => Buffer.concat(out),
    stop: (signal) => {
      for (const listener of listeners) listener(signal);
    },
  };
}
