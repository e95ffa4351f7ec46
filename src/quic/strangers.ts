import type { Log } from "../system/log.ts";
import type { SocketAddress } from "./connection.ts";
import type { ConnectionFactory } from "./connection-factory.ts";
import type { Flusher } from "./flusher.ts";
import { admitsStranger } from "./half-open.ts";
import { quicLimits } from "./limits.ts";
import type { QuicConnection } from "./quic-connection.ts";
import type { ServerIdentity } from "./quiche-config.ts";
import {
  type LongHeader,
  parseLongHeader,
  retryPacket,
  versionIsSupported,
  versionNegotiationPacket,
} from "./quiche-packet.ts";
import { RetryTokens } from "./retry-token.ts";
import type { RouteTable } from "./route-table.ts";

export interface StrangersOptions {
  readonly identity: ServerIdentity;
  readonly routes: RouteTable<QuicConnection>;
  readonly factory: ConnectionFactory;
  readonly flusher: Flusher;
  readonly log: Log;
  readonly nowMs: () => number;
  readonly random: () => number;
}

interface Waiting {
  readonly datagram: Uint8Array;
  readonly from: SocketAddress;
  readonly admitted: boolean;
}

/**
 * First datagrams of clients nobody knows yet: a bounded queue, a few handshakes per turn, and ever
 * fewer the more are unfinished. From the 32nd on a client must first answer a Retry.
 */
export class Strangers {
  readonly #options: StrangersOptions;
  readonly #tokens = new RetryTokens();
  readonly #waiting: Waiting[] = [];
  #scheduled = false;

  constructor(options: StrangersOptions) {
    this.#options = options;
  }

  /** One that was not admitted must bring what an admitted one was given: the token of a Retry. */
  handleStranger(datagram: Uint8Array, from: SocketAddress, admitted: boolean): void {
    // A genuine first flight is padded (RFC 9000, 14.1); anything smaller gets no answer.
    if (datagram.byteLength < quicLimits.initialDatagramBytesMin) return;
    if (this.#waiting.length >= quicLimits.strangersQueued) return;
    this.#waiting.push({ datagram, from, admitted });
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#letIn());
  }

  #letIn(): void {
    this.#scheduled = false;
    for (const waiting of this.#waiting.splice(0, quicLimits.acceptsPerTurn)) {
      const { datagram, from } = waiting;
      const known = this.#options.routes.findLong(datagram);
      const connection = known ?? this.#meet(waiting);
      if (connection === undefined) continue;
      connection.receive(datagram, from.host, from.port);
      // Not one packet in it could be decrypted: no state is kept for that.
      if (known === undefined && !connection.heardAnything) this.#drop(connection);
      else this.#options.flusher.wake(connection);
    }
    if (this.#waiting.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => this.#letIn());
  }

  #drop(connection: QuicConnection): void {
    connection.abandon({ kind: "handshake-timeout" });
    this.#options.flusher.drop(connection);
  }

  #meet({ datagram, from, admitted }: Waiting): QuicConnection | undefined {
    const { factory, flusher, random } = this.#options;
    const header = parseLongHeader(datagram);
    if (header === null || header.dcid.byteLength < clientIdBytesMin) return undefined;
    if (!versionIsSupported(header.version)) {
      // Version 0 is itself a negotiation packet: answering it could go on for ever.
      if (header.version === 0 || !admitted) return undefined;
      flusher.sendLoose(versionNegotiationPacket(header), from.host, from.port);
      return undefined;
    }
    if (header.type !== "initial") return undefined;
    if (factory.connections.size >= quicLimits.connectionsMax) return undefined;
    const proof = this.#proof(header, from);
    if (!admitted && !(proof instanceof Uint8Array)) return undefined;
    if (proof === null) {
      // Costs no state, and tells nobody apart: the dice are for those that come back.
      this.#askToRetry(header, from);
      return undefined;
    }
    if (!admitsStranger(factory.halfOpenCount, random)) return undefined;
    return this.#accept(header, from, proof);
  }

  /** The original id from a valid token; undefined when none is needed; null when one is. */
  #proof(header: LongHeader, from: SocketAddress): Uint8Array | undefined | null {
    const { factory, nowMs } = this.#options;
    if (header.token.byteLength > 0) {
      const original = this.#tokens.open(header.token, header.dcid, from, nowMs());
      if (original !== null) return original;
    }
    return factory.halfOpenCount < quicLimits.halfOpenEarlyDrop ? undefined : null;
  }

  #askToRetry(header: LongHeader, from: SocketAddress): void {
    const { factory, flusher, nowMs } = this.#options;
    const scid = factory.mint();
    const token = this.#tokens.seal(header.dcid, scid, from, nowMs());
    flusher.sendLoose(retryPacket(header, scid, token), from.host, from.port);
  }

  #accept(
    header: LongHeader,
    from: SocketAddress,
    originalDcid: Uint8Array | undefined,
  ): QuicConnection | undefined {
    const { factory, identity, log } = this.#options;
    try {
      // After a Retry the client already uses the id we gave it.
      const scid = originalDcid === undefined ? factory.mint() : header.dcid;
      const connection = factory.accept({ scid, originalDcid }, from, identity);
      factory.addFirstId(connection, header.dcid);
      return connection;
    } catch (error) {
      log("error", "quic-accept", { error: String(error) });
      return undefined;
    }
  }
}

/** RFC 9000, 7.2. */
const clientIdBytesMin = 8;
