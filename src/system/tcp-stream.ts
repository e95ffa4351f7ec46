import type { Socket, SocketHandler } from "bun";
import { type ByteStream, StreamError } from "../protocol/byte-stream.ts";
import { socketLimits } from "./socket-limits.ts";
import { type UnixPeer, unixPeer } from "./unix-peer.ts";
import { whenLate } from "./within.ts";

/** A socket could not be opened; `code` is the system's ("ECONNREFUSED", "EADDRINUSE", "ETIMEDOUT", …). */
export class SocketError extends Error {
  override readonly name = "SocketError";
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export type SocketTarget =
  { readonly host: string; readonly port: number } | { readonly path: string };

export interface Listening {
  /** The port that was given, where 0 was asked for; 0 for a Unix socket. */
  readonly port: number;
  /** Takes no more connections; those that are open go on. */
  close(): void;
}

export interface ListenOptions {
  /** Further connections are reset at once. */
  readonly connectionsMax?: number;
  /** Told of each of those. */
  readonly onOneTooMany?: () => void;
  readonly onConnection: (stream: ByteStream, remote: { readonly host: string }) => void;
}

export async function connectTcp(
  target: { readonly host: string; readonly port: number },
  timeoutMs: number = socketLimits.connectMs,
): Promise<ByteStream> {
  return connect(target, timeoutMs);
}

export async function connectUnix(
  path: string,
  timeoutMs: number = socketLimits.connectMs,
): Promise<ByteStream> {
  return connect({ path }, timeoutMs);
}

/** Throws `SocketError` when the address is taken or not ours. */
export function listenTcp(
  address: { readonly host: string; readonly port: number },
  options: ListenOptions,
): Listening {
  return listen(address, options);
}

/** The path must be free; who may connect is decided by the mode of its folder and of the socket. */
export function listenUnix(path: string, options: ListenOptions): Listening {
  return listen({ path }, options);
}

/** Who is at the other end of a stream of `connectUnix` or `listenUnix`; undefined where it is gone. */
export function peerOf(stream: ByteStream): UnixPeer | undefined {
  const fd = stream instanceof SocketStream ? stream.descriptor : undefined;
  return fd === undefined ? undefined : unixPeer(fd);
}

/** A socket that another process reads and writes in our place. */
export interface LentSocket {
  /** Ours as long as it is open. */
  readonly descriptor: number;
  isOpen(): boolean;
  /** What was read from it before. */
  readonly early: Uint8Array;
  /** Once that process has ended: we read and write it again. */
  takeBack(): void;
}

/**
 * Of a stream of `connectUnix` or `listenUnix`, which is neither read nor written until it is taken back; nor is told
 * meanwhile that its peer has left. Throws `StreamError` when it is closed.
 */
export function lendSocket(stream: ByteStream): LentSocket {
  if (!(stream instanceof SocketStream)) throw new TypeError("Only a socket can be lent");
  return stream.lend();
}

/**
 * From now on the peer's `abort` of a Unix socket reads as a reset: both its halves are gone at once then,
 * which no end does. For bytes that do not show their own end; other streams are left as they are.
 */
export function tellResets(stream: ByteStream): void {
  if (stream instanceof SocketStream) stream.tellResets();
}

/**
 * A TCP or Unix socket whose halves close apart. A Unix socket has no reset: an `abort` of the peer
 * reads as an end there, so what is spoken over one must show its own end, or `tellResets`.
 */
class SocketStream implements ByteStream {
  #socket: Socket<SocketStream> | undefined;
  readonly #chunks: Uint8Array[] = [];
  #queuedBytes = 0;
  #paused = false;
  #readEnded = false;
  #writeEnded = false;
  #failure: StreamError | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;
  #writes: Promise<void> = Promise.resolve();
  #tellsResets = false;
  onClosed: (() => void) | undefined;

  tellResets(): void {
    this.#tellsResets = true;
  }

  opened(socket: Socket<SocketStream>): void {
    this.#socket = socket;
    // Unix sockets know no such option and ignore it.
    socket.setNoDelay(true);
  }

  /** Bun's types do not tell of it. */
  get descriptor(): number | undefined {
    const fd: unknown = this.#socket === undefined ? undefined : Reflect.get(this.#socket, "fd");
    return typeof fd === "number" && fd >= 0 ? fd : undefined;
  }

  lend(): LentSocket {
    const { descriptor } = this;
    if (descriptor === undefined)
      throw this.#failure ?? new StreamError("reset", "The connection was closed");
    const early = Buffer.concat(this.#chunks.splice(0));
    this.#queuedBytes = 0;
    this.#paused = true;
    this.#socket?.pause();
    return {
      descriptor,
      isOpen: () => this.#socket !== undefined,
      early,
      takeBack: () => this.#taken(0),
    };
  }

  received(bytes: Uint8Array): void {
    this.#chunks.push(bytes);
    this.#queuedBytes += bytes.length;
    if (this.#queuedBytes >= socketLimits.queuedBytesMax && !this.#paused) {
      this.#paused = true;
      this.#socket?.pause();
    }
    this.#wakeReader?.();
  }

  peerEnded(): void {
    this.#readEnded = true;
    this.#wakeReader?.();
  }

  drained(): void {
    this.#wakeWriter?.();
  }

  closed(error: Error | undefined): void {
    // After our own end Bun reports the peer's end as this close, without an `end` before it.
    const clean = error === undefined && (this.#readEnded || this.#writeEnded);
    if (!clean || !this.#writeEnded)
      this.#failure ??= new StreamError("reset", error?.message ?? "The connection was closed");
    if (clean) this.#readEnded = true;
    this.#socket = undefined;
    this.#wakeReader?.();
    this.#wakeWriter?.();
    this.onClosed?.();
  }

  async read(): Promise<Uint8Array | null> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#taken(chunk.length);
        return chunk;
      }
      if (this.#readEnded) return this.#endOrReset();
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    // One after the other: a socket that took half of one array must not get the next one in between.
    const turn = this.#writes.then(() => this.#writeAll(bytes));
    this.#writes = turn.catch(() => undefined);
    await turn;
  }

  async end(): Promise<void> {
    await this.#writes;
    if (this.#writeEnded || this.#failure !== undefined) return;
    this.#writeEnded = true;
    this.#socket?.shutdown();
  }

  abort(_code: number): void {
    if (this.#failure?.kind === "aborted") return;
    this.#failure = new StreamError("aborted", "The stream was given up here");
    this.#chunks.length = 0;
    this.#readEnded = false;
    this.#socket?.terminate();
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }

  async #endOrReset(): Promise<null> {
    if (!this.#tellsResets || this.#writeEnded) return null;
    // Bun tells of the close right behind the end.
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    if (this.#failure !== undefined) throw this.#failure;
    return null;
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    let offset = 0;
    while (offset < bytes.length) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#writeEnded) throw new StreamError("aborted", "The stream was ended here");
      const taken = this.#socket?.write(bytes, offset, bytes.length - offset) ?? 0;
      offset += Math.max(taken, 0);
      if (offset < bytes.length) await this.#roomToWrite();
    }
  }

  async #roomToWrite(): Promise<void> {
    if (this.#failure !== undefined) return;
    await new Promise<void>((resolve) => {
      this.#wakeWriter = resolve;
    });
  }

  #taken(length: number): void {
    this.#queuedBytes -= length;
    if (!this.#paused || this.#queuedBytes > socketLimits.queuedBytesMax / 2) return;
    this.#paused = false;
    this.#socket?.resume();
  }
}

const handler: SocketHandler<SocketStream> = {
  open: (socket) => socket.data.opened(socket),
  data: (socket, bytes) => socket.data.received(bytes),
  drain: (socket) => socket.data.drained(),
  end: (socket) => socket.data.peerEnded(),
  close: (socket, error) => socket.data.closed(error),
  // The close that follows carries the error.
  error: () => undefined,
};

async function connect(target: SocketTarget, timeoutMs: number): Promise<ByteStream> {
  const stream = new SocketStream();
  const options = { socket: handler, data: stream, allowHalfOpen: true };
  const connecting =
    "path" in target
      ? Bun.connect<SocketStream>({ ...options, unix: target.path })
      : Bun.connect<SocketStream>({ ...options, hostname: target.host, port: target.port });
  let cancel: (() => void) | undefined;
  const late = new Promise<never>((_, reject) => {
    cancel = whenLate(timeoutMs, () => {
      // Should it still come through, nobody wants it any more.
      stream.abort(0);
      connecting.then((socket) => socket.terminate()).catch(() => undefined);
      reject(new SocketError("ETIMEDOUT", `No answer from ${describe(target)} in ${timeoutMs} ms`));
    });
  });
  try {
    await Promise.race([connecting, late]);
    return stream;
  } catch (error) {
    throw asSocketError(error, `Could not connect to ${describe(target)}`);
  } finally {
    cancel?.();
  }
}

function listen(target: SocketTarget, options: ListenOptions): Listening {
  const max = options.connectionsMax ?? socketLimits.connectionsMax;
  let count = 0;
  const accepting: SocketHandler<SocketStream> = {
    ...handler,
    open(socket) {
      socket.data = new SocketStream();
      socket.data.opened(socket);
      if (count >= max) {
        socket.data.abort(0);
        options.onOneTooMany?.();
        return;
      }
      count += 1;
      socket.data.onClosed = () => {
        count -= 1;
      };
      options.onConnection(socket.data, { host: socket.remoteAddress ?? "" });
    },
  };
  const shared = { socket: accepting, data: new SocketStream(), allowHalfOpen: true };
  try {
    if ("path" in target) {
      const server = Bun.listen<SocketStream>({ ...shared, unix: target.path });
      return { port: 0, close: () => server.stop(false) };
    }
    const server = Bun.listen<SocketStream>({
      ...shared,
      hostname: target.host,
      port: target.port,
      exclusive: true,
    });
    return { port: server.port, close: () => server.stop(false) };
  } catch (error) {
    throw asSocketError(error, `Could not listen on ${describe(target)}`);
  }
}

function asSocketError(error: unknown, what: string): SocketError {
  if (error instanceof SocketError) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : "EIO";
  return new SocketError(code, `${what}: ${code}`);
}

function describe(target: SocketTarget): string {
  return "path" in target ? target.path : `${target.host}:${target.port}`;
}
