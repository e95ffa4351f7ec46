import { decodeDoorFrame, encodeDoorFrame } from "../door-frame.ts";
import { networkOf } from "./web-client-address.ts";
import { WebCounters } from "./web-counters.ts";
import { webLimits } from "./web-limits.ts";

/** The WebSocket of one client. */
export interface DoorSocket {
  send(datagram: Uint8Array): void;
  /** What waits in our memory for the client to read. */
  readonly bufferedBytes: number;
  close(code: number, reason: string): void;
}

export interface WebSocketDoorOptions {
  readonly cookie: Uint8Array;
  /** Of the first connection; random, so that no number of the last web process comes again soon. */
  readonly firstNumber: number;
  /** To the relay's door; false where there is none now, or its socket is full. */
  readonly send: (frame: Uint8Array) => boolean;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

/** One client between its WebSocket and the relay. */
export interface DoorConnection {
  readonly number: number;
  readonly address: string;
  readonly network: string;
  readonly sinceMs: number;
  socket: DoorSocket | undefined;
  /** The last datagram of the client, and the last for it. */
  heardMs: number;
  answeredMs: number;
  /** What waited for the client to read, when that was last looked at. */
  buffered: number;
  /** Datagrams that may come now, at `filledMs`. */
  tokens: number;
  filledMs: number;
}

/** Why a client is not let in, or let go: for it to read, and the number of a close frame. */
export const closings = {
  gone: { code: 1001, reason: "the proxy has forgotten this connection" },
  misuse: { code: 1003, reason: "one binary message is one datagram" },
  idle: { code: 1008, reason: "nothing came, or came back, for too long" },
  unadmitted: { code: 1008, reason: "nothing was admitted" },
  draining: { code: 1012, reason: "this proxy is going, connect again" },
} as const;

export type DoorRefusal = "full" | "network" | "draining";

/**
 * Datagrams of WebSocket clients to the relay and back, each connection by its number. Knows nothing
 * of HTTP, and nothing of what is in the datagrams: the relay judges them. A client that the relay has
 * sent nothing to has not shown a right tag, and is worth nothing.
 */
export class WebSocketDoor {
  readonly counters = new WebCounters();
  readonly #options: WebSocketDoorOptions;
  readonly #connections = new Map<number, DoorConnection>();
  readonly #ofNetwork = new Map<string, number>();
  /** Oldest first. */
  readonly #unadmitted = new Set<DoorConnection>();
  #next: number;
  /** At least what waits for all clients. */
  #buffered = 0;
  #isDraining = false;

  constructor(options: WebSocketDoorOptions) {
    this.#options = options;
    this.#next = options.firstNumber >>> 0;
  }

  get gauges(): Record<string, number> {
    return { web_connections: this.#connections.size, web_unadmitted: this.#unadmitted.size };
  }

  /** A place for one more client, before its WebSocket is there; or why not. */
  admit(address: string): DoorConnection | DoorRefusal {
    const network = networkOf(address);
    const refusal = this.#refusal(network);
    if (refusal !== null) {
      this.counters.add(`web_refused_${refusal}`);
      return refusal;
    }
    const [oldest] = this.#unadmitted;
    if (this.#unadmitted.size >= webLimits.unadmittedMax && oldest !== undefined)
      this.#close(oldest, "unadmitted");
    const now = this.#options.nowMs();
    const connection: DoorConnection = {
      number: this.#takeNumber(),
      address,
      network,
      sinceMs: now,
      socket: undefined,
      heardMs: now,
      answeredMs: now,
      buffered: 0,
      tokens: webLimits.strangersBurst,
      filledMs: now,
    };
    this.#connections.set(connection.number, connection);
    this.#unadmitted.add(connection);
    this.#ofNetwork.set(network, (this.#ofNetwork.get(network) ?? 0) + 1);
    this.counters.add("web_accepted");
    return connection;
  }

  opened(connection: DoorConnection, socket: DoorSocket): void {
    // Let go before it was there.
    if (this.#connections.get(connection.number) !== connection)
      socket.close(closings.unadmitted.code, closings.unadmitted.reason);
    else connection.socket = socket;
  }

  receive(connection: DoorConnection, message: string | Uint8Array): void {
    if (this.#connections.get(connection.number) !== connection) return;
    // An empty one would tell the relay that the client is gone.
    if (typeof message === "string" || message.byteLength === 0) {
      this.#close(connection, "misuse");
      return;
    }
    const now = this.#options.nowMs();
    if (!this.#takeToken(connection, now)) {
      this.counters.add("web_dropped_rate");
      return;
    }
    connection.heardMs = now;
    this.counters.add("web_datagrams_in");
    this.#send(connection, message);
  }

  /** It is answered by itself; who does not read that must not make us keep it. */
  pinged(connection: DoorConnection): void {
    if ((connection.socket?.bufferedBytes ?? 0) > webLimits.bufferedBytesShort)
      this.#close(connection, "misuse");
  }

  /** The client's WebSocket is no more. */
  closed(connection: DoorConnection): void {
    if (!this.#forget(connection)) return;
    this.#send(connection, nothing);
  }

  /** What came at the door's socket; only the relay knows the cookie. */
  fromRelay(frame: Uint8Array): void {
    const decoded = decodeDoorFrame(this.#options.cookie, frame);
    if (decoded === null) return;
    const connection = this.#connections.get(decoded.connection);
    if (connection?.socket === undefined) return;
    if (decoded.datagram.byteLength === 0) {
      this.#forget(connection);
      this.counters.add("web_closed_relay");
      connection.socket.close(closings.gone.code, closings.gone.reason);
      return;
    }
    if (this.#unadmitted.delete(connection)) connection.tokens = webLimits.datagramsBurst;
    connection.answeredMs = this.#options.nowMs();
    if (this.#noteBuffered(connection) > this.#bufferedMax) {
      this.counters.add("web_dropped_buffered");
      return;
    }
    this.counters.add("web_datagrams_out");
    connection.socket.send(decoded.datagram);
    this.#noteBuffered(connection);
  }

  /** Lets those go whose time is over. Every second. */
  sweep(): void {
    const now = this.#options.nowMs();
    for (const connection of this.#unadmitted) {
      if (now - connection.sinceMs < webLimits.unadmittedMs) break;
      this.#close(connection, "unadmitted");
    }
    for (const connection of this.#connections.values()) {
      this.#noteBuffered(connection);
      // One that only sends what comes to nothing would keep its place for ever.
      const aliveMs = Math.min(connection.heardMs, connection.answeredMs);
      if (now - aliveMs >= webLimits.idleMs) this.#close(connection, "idle");
    }
  }

  /** Lets nobody in any more, and sends the others where they come from: to another proxy. */
  drain(): void {
    this.#isDraining = true;
    for (const connection of this.#connections.values()) this.#close(connection, "draining");
  }

  #refusal(network: string): DoorRefusal | null {
    if (this.#isDraining) return "draining";
    if ((this.#ofNetwork.get(network) ?? 0) >= webLimits.connectionsPerNetworkMax) return "network";
    return this.#connections.size >= webLimits.connectionsMax ? "full" : null;
  }

  #takeNumber(): number {
    while (this.#connections.has(this.#next)) this.#next = (this.#next + 1) >>> 0;
    const number = this.#next;
    this.#next = (number + 1) >>> 0;
    return number;
  }

  #send({ number, address }: DoorConnection, datagram: Uint8Array): void {
    const frame = encodeDoorFrame(this.#options.cookie, { connection: number, address, datagram });
    if (!this.#options.send(frame)) this.counters.add("web_dropped_door");
  }

  #close(connection: DoorConnection, why: Exclude<keyof typeof closings, "gone">): void {
    this.closed(connection);
    this.counters.add(`web_closed_${why}`);
    connection.socket?.close(closings[why].code, closings[why].reason);
  }

  get #bufferedMax(): number {
    const isShort = this.#buffered > webLimits.bufferedBytesTotalMax;
    return isShort ? webLimits.bufferedBytesShort : webLimits.bufferedBytesMax;
  }

  #noteBuffered(connection: DoorConnection): number {
    const now = connection.socket?.bufferedBytes ?? 0;
    this.#buffered += now - connection.buffered;
    connection.buffered = now;
    return now;
  }

  #takeToken(connection: DoorConnection, nowMs: number): boolean {
    const isStranger = this.#unadmitted.has(connection);
    const perSecond = isStranger ? webLimits.strangersPerSecond : webLimits.datagramsPerSecond;
    const burst = isStranger ? webLimits.strangersBurst : webLimits.datagramsBurst;
    const gained = ((nowMs - connection.filledMs) * perSecond) / 1000;
    connection.tokens = Math.min(burst, connection.tokens + gained);
    connection.filledMs = nowMs;
    if (connection.tokens < 1) return false;
    connection.tokens -= 1;
    return true;
  }

  /** False when that was done before. */
  #forget(connection: DoorConnection): boolean {
    if (this.#connections.get(connection.number) !== connection) return false;
    this.#connections.delete(connection.number);
    this.#unadmitted.delete(connection);
    this.#buffered -= connection.buffered;
    connection.buffered = 0;
    const left = (this.#ofNetwork.get(connection.network) ?? 1) - 1;
    if (left > 0) this.#ofNetwork.set(connection.network, left);
    else this.#ofNetwork.delete(connection.network);
    return true;
  }
}

const nothing = new Uint8Array(0);
