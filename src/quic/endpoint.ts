import { randomBytes } from "node:crypto";
import { alpn } from "../protocol/limits.ts";
import type { Log } from "../system/log.ts";
import type { DatagramCarrier, DatagramGate, DatagramReceiver, OpenCarrier } from "./carrier.ts";
import { closeCodes, type Connection, ConnectionClosed, type SocketAddress } from "./connection.ts";
import { type ConnectionIds, directConnectionIds } from "./connection-id.ts";
import { ConnectionFactory } from "./connection-factory.ts";
import { Dispatcher } from "./dispatcher.ts";
import { checkHost, checkInteger } from "./argument.ts";
import { Flusher } from "./flusher.ts";
import { FormerCarrier } from "./former-carrier.ts";
import { quicLimits } from "./limits.ts";
import type { LooseWord } from "./loose-talk.ts";
import type { ConnectionOwner, QuicConnection } from "./quic-connection.ts";
import type { CongestionControl, ServerIdentity } from "./quiche-config.ts";
import { RouteTable } from "./route-table.ts";
import { Strangers } from "./strangers.ts";
import { canonicalHost } from "./socket-address.ts";
import { openQuicUdp } from "./udp-carrier.ts";

export interface EndpointOptions {
  /** Where to listen; port 0 for any. Clients: the wildcard of the server's address family. */
  readonly bind: SocketAddress;
  /** With it the endpoint accepts connections. */
  readonly server?: ServerIdentity;
  /** Larger datagrams are not tried, whatever the path would carry. */
  readonly datagramBytesMax?: number;
  readonly congestionControl?: CongestionControl;
  /** 0 switches it off, and is the default of servers. */
  readonly keepAliveMs?: number;
  readonly idleMs?: number;
  readonly handshakeMs?: number;
  readonly log?: Log;
  readonly gate?: DatagramGate;
  readonly connectionIds?: ConnectionIds;
  readonly openCarrier?: OpenCarrier;
  /** Monotonic milliseconds. */
  readonly nowMs?: () => number;
  readonly random?: () => number;
}

/** What the peers are told when an endpoint is closed. */
export interface Goodbye {
  readonly code: number;
  readonly reason: string;
}

const shuttingDown: Goodbye = { code: closeCodes.shuttingDown, reason: "closing" };

/** A UDP socket and the QUIC connections on it. */
export class Endpoint {
  readonly #openCarrier: OpenCarrier;
  readonly #bind: SocketAddress;
  readonly #factory: ConnectionFactory;
  readonly #dispatcher: Dispatcher;
  readonly #flusher: Flusher;
  readonly #owner: ConnectionOwner;
  readonly #connecting = new Map<QuicConnection, (connection: QuicConnection) => void>();
  readonly #accepted: QuicConnection[] = [];
  readonly #acceptWaiters: ((connection: Connection | null) => void)[] = [];
  #carrier: DatagramCarrier | undefined;
  readonly #former = new FormerCarrier();
  #closed = false;

  private constructor(options: EndpointOptions) {
    const nowMs = options.nowMs ?? (() => performance.now());
    const ids = options.connectionIds ?? directConnectionIds(randomBytes(32));
    const routes = new RouteTable<QuicConnection>();
    const log = options.log ?? (() => undefined);
    this.#bind = options.bind;
    this.#openCarrier = options.openCarrier ?? openQuicUdp;
    this.#owner = {
      nowMs,
      wake: (connection) => this.#flusher.wake(connection),
      sendNow: (connection) => this.#flusher.sendNow(connection),
      sendLoose: (datagram, to, word) => this.#sendLoose(datagram, to, word),
      established: (connection) => this.#handleEstablished(connection),
    };
    this.#factory = new ConnectionFactory({ ...options, alpn, ids, routes, owner: this.#owner });
    this.#flusher = new Flusher({
      nowMs,
      gate: options.gate,
      carrier: () => this.#carrier,
      gone: (connection) => this.#factory.forget(connection),
    });
    const parts = { ids, routes, nowMs, log, factory: this.#factory, flusher: this.#flusher };
    const random = options.random ?? Math.random;
    const identity = options.server;
    const strangers = identity && new Strangers({ ...parts, identity, random });
    this.#dispatcher = new Dispatcher({ ...parts, gate: options.gate, strangers });
  }

  static async open(options: EndpointOptions): Promise<Endpoint> {
    const endpoint = new Endpoint(options);
    endpoint.#carrier = await endpoint.#openSocket(options.bind);
    return endpoint;
  }

  get address(): SocketAddress {
    return this.#carrier?.address ?? this.#bind;
  }

  get connectionCount(): number {
    return this.#factory.connections.size;
  }

  /** A connection whose handshake is done and checked. Rejects with `ConnectionClosed`. */
  async connect(
    remote: SocketAddress,
    options: { readonly timeoutMs?: number } = {},
  ): Promise<Connection> {
    if (this.#closed) throw new TypeError("The endpoint is closed");
    const timeoutMs = checkInteger(
      "timeoutMs",
      options.timeoutMs ?? quicLimits.handshakeMs,
      1,
      quicLimits.connectTimeoutMsMax,
    );
    const host = canonicalHost(checkHost("remote", remote.host), this.address.host);
    const connection = this.#factory.connect({ host, port: remote.port }, timeoutMs);
    const established = new Promise<QuicConnection>((resolve) => {
      this.#connecting.set(connection, resolve);
    });
    this.#flusher.wake(connection);
    try {
      const result = await Promise.race([established, connection.closed]);
      if (result === connection) return connection;
      throw new ConnectionClosed(await connection.closed);
    } finally {
      this.#connecting.delete(connection);
    }
  }

  /** The next established connection, or null once the endpoint is closed. */
  accept(): Promise<Connection | null> {
    for (;;) {
      const connection = this.#accepted.shift();
      if (connection === undefined) break;
      if (connection.closeReason === undefined) return Promise.resolve(connection);
    }
    if (this.#closed) return Promise.resolve(null);
    return new Promise((resolve) => this.#acceptWaiters.push(resolve));
  }

  /**
   * Goes on with the same connections from a new local socket: after a change of network, or a
   * sleep. The peer sees it as a NAT would show it. The old one may only seem dead: questions go by it too.
   */
  async rebind(): Promise<void> {
    if (this.#closed) throw new TypeError("The endpoint is closed");
    const fresh = await this.#openSocket({ host: this.#bind.host, port: 0 });
    if (this.#closed) {
      fresh.close();
      return;
    }
    this.#former.keep(this.#carrier);
    this.#carrier = fresh;
    this.#flusher.carrierChanged();
    for (const connection of this.#factory.connections) connection.moved();
  }

  /** Says goodbye on every connection and frees the socket. Idempotent. */
  async close(goodbye: Goodbye = shuttingDown): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const connection of this.#factory.connections)
      connection.close(goodbye.code, goodbye.reason);
    this.#flusher.flushNow();
    for (const resolve of this.#acceptWaiters.splice(0)) resolve(null);
    // One turn for what the socket still holds.
    await new Promise((resolve) => setImmediate(resolve));
    await this.#flusher.repeatGoodbyes(this.#factory.connections);
    this.#flusher.close();
    this.#carrier?.close();
    this.#former.close();
    this.#factory.forgetAll();
  }

  #sendLoose(datagram: Uint8Array, to: SocketAddress, word: LooseWord | undefined): void {
    // First by the socket whose address the peer knows: then it need not challenge us.
    if (word === "asks") this.#flusher.sendLooseBy(this.#former.carrier, datagram, to);
    if (word === "probes") this.#flusher.sendWhole(datagram, to);
    else this.#flusher.sendLoose(datagram, to.host, to.port);
  }

  #openSocket(bind: SocketAddress): Promise<DatagramCarrier> {
    const receive: DatagramReceiver = (datagram, port, host) => {
      if (!this.#closed) this.#dispatcher.handleDatagram(datagram, port, host);
    };
    return this.#openCarrier(bind, receive, (datagram) => this.#dispatcher.knows(datagram));
  }

  #handleEstablished(connection: QuicConnection): void {
    this.#factory.established(connection);
    if (connection.side === "client") {
      this.#connecting.get(connection)?.(connection);
      return;
    }
    const waiter = this.#acceptWaiters.shift();
    if (waiter !== undefined) waiter(connection);
    else if (this.#accepted.length < quicLimits.acceptQueueMax) this.#accepted.push(connection);
    else connection.close(closeCodes.busy, "busy");
  }
}
