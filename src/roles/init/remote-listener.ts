import type { ByteStream } from "../../protocol/byte-stream.ts";
import { RemoteError } from "../../protocol/errors.ts";
import type { ForwardListenRequest, Incoming } from "../../protocol/forward-message.ts";
import {
  type Listening,
  type ListenOptions,
  listenTcp,
  SocketError,
} from "../../system/tcp-stream.ts";
import { isLoopback } from "../../system/ip-address.ts";
import { listenGuestSocket } from "./guest-socket.ts";
import { initLimits } from "./limits.ts";

/** What the listeners of a machine share. */
export interface ListenerSurroundings {
  /** Of the workload; throws `RemoteError` where none runs. */
  readonly rootFolder: () => number;
  /** False when too many connections wait already. */
  readonly takeWaitingPlace: () => boolean;
  readonly leaveWaitingPlace: () => void;
}

/**
 * One socket that a client had opened here, and the connections that came in and were not taken yet.
 * It outlives the stream that asked for it by a while, so that its client finds it again.
 */
export class RemoteListener {
  readonly kind: ForwardListenRequest["at"]["kind"];
  readonly #surroundings: ListenerSurroundings;
  readonly #listening: Listening;
  readonly #waiting = new Map<number, Waiting>();
  #arrived: ((incoming: Incoming) => void) | undefined;
  #count = 0;
  #isClosed = false;

  /** Throws `RemoteError`. */
  constructor(request: ForwardListenRequest, surroundings: ListenerSurroundings) {
    this.kind = request.at.kind;
    this.#surroundings = surroundings;
    this.#listening = listen(request, surroundings.rootFolder, {
      connectionsMax: initLimits.listenerConnectionsMax,
      onConnection: (stream, { host }) => this.#arrive(stream, host),
    });
  }

  /** 0 for a Unix socket. */
  get port(): number {
    return this.#listening.port;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Tells of those that wait, and of each that comes; in the place of whom it told before. */
  tell(arrived: (incoming: Incoming) => void): void {
    this.#arrived = arrived;
    for (const [connection, { from }] of this.#waiting) arrived(incoming(connection, from));
  }

  /** Throws `RemoteError` "not-found" for one that was taken, or waited too long. */
  take(connection: number): ByteStream {
    const waiting = this.#waiting.get(connection);
    if (waiting === undefined)
      throw new RemoteError("not-found", "No such connection waits at the listener");
    this.#remove(connection, waiting);
    return waiting.stream;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#listening.close();
    for (const [connection, waiting] of this.#waiting) {
      this.#remove(connection, waiting);
      waiting.stream.abort(0);
    }
  }

  #arrive(stream: ByteStream, from: string): void {
    if (this.#isClosed || !this.#surroundings.takeWaitingPlace()) {
      stream.abort(0);
      return;
    }
    this.#count += 1;
    const connection = this.#count;
    const timer = setTimeout(() => {
      this.take(connection).abort(0);
    }, initLimits.acceptMs);
    this.#waiting.set(connection, { stream, from, timer });
    this.#arrived?.(incoming(connection, from));
  }

  #remove(connection: number, { timer }: Waiting): void {
    clearTimeout(timer);
    this.#waiting.delete(connection);
    this.#surroundings.leaveWaitingPlace();
  }
}

interface Waiting {
  readonly stream: ByteStream;
  /** Who connected; empty for a Unix socket. */
  readonly from: string;
  readonly timer: ReturnType<typeof setTimeout>;
}

function incoming(connection: number, from: string): Incoming {
  return { connection, ...(from === "" ? {} : { from }) };
}

function listen(
  { at, gateway }: ForwardListenRequest,
  rootFolder: () => number,
  options: ListenOptions,
): Listening {
  if (at.kind === "unix") return listenGuestSocket(rootFolder(), at.path, options);
  // What a name leads to is for the guest to say.
  if (gateway !== true && !isLoopback(at.host))
    throw new RemoteError("listen-refused", `${at.host} is not this machine alone`);
  try {
    return listenTcp({ host: at.host, port: at.port }, options);
  } catch (error) {
    if (!(error instanceof SocketError)) throw error;
    throw new RemoteError(
      "listen-refused",
      error.code === "EADDRINUSE"
        ? `port ${at.port} is in use there`
        : `cannot listen on ${at.host} port ${at.port}: ${error.code}`,
    );
  }
}
