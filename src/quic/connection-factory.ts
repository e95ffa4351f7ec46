import { isIPv4 } from "node:net";
import type { SocketAddress } from "./connection.ts";
import { type ConnectionIds, tokenNumber } from "./connection-id.ts";
import { openKeylog } from "./keylog.ts";
import { quicLimits } from "./limits.ts";
import type { ConnectionSetup } from "./connection-setup.ts";
import { type ConnectionOwner, QuicConnection } from "./quic-connection.ts";
import {
  clientConfig,
  type CongestionControl,
  serverConfig,
  type ServerIdentity,
  type TransportSettings,
} from "./quiche-config.ts";
import { pathInfo, QuicheConnection } from "./quiche-connection.ts";
import type { RouteTable } from "./route-table.ts";
import { isLoopback } from "../system/ip-address.ts";
import { keepNativeHeap } from "../system/native-heap.ts";

export interface FactoryOptions {
  readonly server?: ServerIdentity;
  readonly datagramBytesMax?: number;
  readonly congestionControl?: CongestionControl;
  readonly keepAliveMs?: number;
  readonly idleMs?: number;
  readonly handshakeMs?: number;
  readonly alpn: string;
  readonly ids: ConnectionIds;
  readonly routes: RouteTable<QuicConnection>;
  readonly owner: ConnectionOwner;
}

/** Makes the connections of an endpoint, keeps count of them, and lets the routes follow. */
export class ConnectionFactory {
  readonly connections = new Set<QuicConnection>();
  readonly #options: FactoryOptions;
  #forgotten = 0;
  readonly #halfOpen = new Set<QuicConnection>();
  readonly #routesOf = new Map<QuicConnection, Routes>();

  constructor(options: FactoryOptions) {
    this.#options = options;
    // quiche frees and asks for what is under way all the time.
    keepNativeHeap();
  }

  get halfOpenCount(): number {
    return this.#halfOpen.size;
  }

  connect(remote: SocketAddress, handshakeMs: number): QuicConnection {
    if (this.connections.size >= quicLimits.connectionsMax) {
      throw new RangeError("Too many connections on this endpoint");
    }
    const { keepAliveMs = quicLimits.keepAliveMs } = this.#options;
    const scid = this.mint();
    const local = localAddress(remote);
    const datagramBytesMax = this.#datagramBytesMax(remote);
    const config = clientConfig(this.#settings("client", datagramBytesMax));
    const quiche = QuicheConnection.connect(scid, local, remote, config);
    const side = "client";
    return this.#add(scid, {
      side,
      quiche,
      path: pathInfo(remote, localAddress(remote)),
      handshakeMs,
      keepAliveMs,
      datagramBytesMax,
    });
  }

  /** An id that no connection has. */
  mint(): Uint8Array {
    for (let attempt = 0; attempt < mintAttempts; attempt++) {
      const id = this.#options.ids.mint();
      if (!this.#options.routes.hasOwn(id)) return id;
    }
    throw new Error("Connection ids keep colliding");
  }

  /** `originalDcid` only after a Retry, which also settled `scid`. */
  accept(
    ids: { readonly scid: Uint8Array; readonly originalDcid: Uint8Array | undefined },
    remote: SocketAddress,
    identity: ServerIdentity,
  ): QuicConnection {
    if (this.#options.routes.hasOwn(ids.scid)) throw new RangeError("The connection id is taken");
    const token = tokenNumber(this.#options.ids.resetToken(ids.scid));
    const datagramBytesMax = this.#datagramBytesMax(remote);
    const config = serverConfig(this.#settings("server", datagramBytesMax), identity, token);
    const quiche = QuicheConnection.accept(ids, localAddress(remote), remote, config);
    const { handshakeMs = quicLimits.handshakeMs, keepAliveMs = 0 } = this.#options;
    const side = "server";
    const setup = {
      side,
      quiche,
      path: pathInfo(remote, localAddress(remote)),
      handshakeMs,
      keepAliveMs,
      datagramBytesMax,
    } as const;
    const connection = this.#add(ids.scid, setup);
    this.#halfOpen.add(connection);
    return connection;
  }

  /** The id a client chose for its first flight leads to the connection too. */
  addFirstId(connection: QuicConnection, dcid: Uint8Array): void {
    const routes = this.#routesOf.get(connection);
    if (routes === undefined) return;
    routes.foreign = dcid;
    this.#options.routes.addForeign(dcid, connection);
  }

  established(connection: QuicConnection): void {
    this.#halfOpen.delete(connection);
  }

  forget(connection: QuicConnection): void {
    if (!this.connections.delete(connection)) return;
    if (++this.#forgotten % quicLimits.forgottenBeforeCollection === 0) Bun.gc(false);
    this.#halfOpen.delete(connection);
    const routes = this.#routesOf.get(connection);
    if (routes === undefined) return;
    this.#routesOf.delete(connection);
    this.#options.routes.removeOwn(routes.own);
    if (routes.foreign !== undefined) this.#options.routes.removeForeign(routes.foreign);
  }

  forgetAll(): void {
    for (const connection of this.connections) {
      connection.abandon({ kind: "local", code: 0, reason: "closing" });
      this.forget(connection);
    }
  }

  #add(
    scid: Uint8Array,
    setup: Omit<ConnectionSetup, "keylog" | "alpn" | "ownCertificate" | "idleMs">,
  ): QuicConnection {
    const keylog = openKeylog();
    setup.quiche.setKeylog(keylog.path);
    const { alpn, server, owner, routes } = this.#options;
    const ownCertificate = setup.side === "server" ? server?.certificateDer : undefined;
    const { idleMs = quicLimits.idleMs } = this.#options;
    const all = { ...setup, keylog, alpn, ownCertificate, idleMs };
    const connection = new QuicConnection(all, owner);
    this.connections.add(connection);
    routes.addOwn(scid, connection);
    this.#routesOf.set(connection, { own: scid, foreign: undefined });
    return connection;
  }

  /** What quiche is told is the measure of its windows as well, so no more than the path may well carry. */
  #datagramBytesMax(remote: SocketAddress): number {
    const likely = isLoopback(remote.host)
      ? quicLimits.datagramBytesLoopback
      : quicLimits.datagramBytesNetwork;
    return Math.min(this.#options.datagramBytesMax ?? likely, likely);
  }

  #settings(side: "client" | "server", datagramBytesMax: number): TransportSettings {
    const options = this.#options;
    const server = side === "server";
    return {
      alpn: options.alpn,
      datagramBytesMax,
      idleMs: options.idleMs ?? quicLimits.idleMs,
      connectionWindow: quicLimits.connectionWindowInitial,
      streamWindow: quicLimits.streamWindowInitial,
      connectionWindowMax: quicLimits.connectionWindowMax,
      streamWindowMax: quicLimits.streamWindowMax,
      // One more than anybody sees: the ballast.
      peerStreamsMax: server ? quicLimits.streamsFromClient + 1 : quicLimits.streamsFromServer,
      congestionControl: options.congestionControl ?? "bbr",
    };
  }
}

interface Routes {
  readonly own: Uint8Array;
  foreign: Uint8Array | undefined;
}

/**
 * What quiche believes our address to be: always the same. The real one may change under us (a
 * laptop moves), and then neither side's quiche has anything to decide but what a NAT would cause.
 */
export function localAddress(remote: SocketAddress): SocketAddress {
  return isIPv4(remote.host) ? { host: "192.0.2.1", port: 1 } : { host: "2001:db8::1", port: 1 };
}

const mintAttempts = 8;
