import type { DatagramGate } from "./carrier.ts";
import type { ConnectionFactory } from "./connection-factory.ts";
import { connectionIdBytes, type ConnectionIds, resetDatagram } from "./connection-id.ts";
import type { Flusher } from "./flusher.ts";
import { quicLimits } from "./limits.ts";
import type { QuicConnection } from "./quic-connection.ts";
import type { RouteTable } from "./route-table.ts";
import type { Strangers } from "./strangers.ts";

export interface DispatcherOptions {
  readonly gate: DatagramGate | undefined;
  readonly ids: ConnectionIds;
  readonly routes: RouteTable<QuicConnection>;
  readonly factory: ConnectionFactory;
  readonly flusher: Flusher;
  /** Only a server has them. */
  readonly strangers: Strangers | undefined;
  readonly nowMs: () => number;
}

/** Brings each datagram to its connection. */
export class Dispatcher {
  readonly #options: DispatcherOptions;
  #sinceFlush = 0;
  #resetsFrom = 0;
  #resets = 0;

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  handleDatagram(datagram: Uint8Array, port: number, host: string): void {
    const first = datagram[0];
    if (first === undefined) return;
    if ((first & 0x40) !== 0) {
      this.#handleQuic(datagram, port, host, false);
      return;
    }
    const inner = this.#options.gate?.open(datagram, { host, port });
    if (inner !== undefined && inner !== null) this.#handleQuic(inner, port, host, true);
  }

  /** Whether it is for a connection of ours, by the id it begins with. */
  knows(datagram: Uint8Array): boolean {
    return this.#connectionOf(datagram) !== undefined;
  }

  #handleQuic(datagram: Uint8Array, port: number, host: string, admitted: boolean): void {
    const connection = this.#connectionOf(datagram);
    if (connection === undefined) {
      this.#handleUnknown(datagram, port, host, { short: isShort(datagram), admitted });
      return;
    }
    connection.receive(datagram, host, port);
    this.#options.flusher.wake(connection);
    if (++this.#sinceFlush >= quicLimits.datagramsBeforeFlush) {
      this.#sinceFlush = 0;
      this.#options.flusher.flushNow();
    }
  }

  #connectionOf(datagram: Uint8Array): QuicConnection | undefined {
    const { routes } = this.#options;
    return isShort(datagram) ? routes.findShort(datagram) : routes.findLong(datagram);
  }

  #handleUnknown(
    datagram: Uint8Array,
    port: number,
    host: string,
    kind: { readonly short: boolean; readonly admitted: boolean },
  ): void {
    const { strangers, gate } = this.#options;
    if (strangers === undefined) {
      if (kind.short) this.#offerReset(datagram, port, host);
      return;
    }
    if (kind.short) {
      this.#reset(datagram, port, host);
      return;
    }
    const admitted = gate === undefined || kind.admitted;
    // After a Retry a client comes bare, to an id of ours. Nobody else gets as far as quiche.
    if (!admitted && !this.#isForUs(datagram)) return;
    strangers.handleStranger(datagram, { host, port }, admitted);
  }

  #isForUs(datagram: Uint8Array): boolean {
    if (datagram[5] !== connectionIdBytes) return false;
    return this.#options.ids.recognises(datagram.subarray(6, 6 + connectionIdBytes));
  }

  /** A reset looks like a packet for an unknown id; only quiche can tell, by its last 16 bytes. */
  #offerReset(datagram: Uint8Array, port: number, host: string): void {
    const { factory, flusher } = this.#options;
    if (datagram.byteLength < quicLimits.resetBytesMin) return;
    for (const connection of factory.connections) {
      const remote = connection.remoteAddress;
      if (remote.port !== port || remote.host !== host) continue;
      connection.receive(datagram.slice(), host, port);
      flusher.wake(connection);
    }
  }

  /** For a peer whose connection an earlier process of ours had; others get no answer. */
  #reset(datagram: Uint8Array, port: number, host: string): void {
    if (datagram.byteLength <= quicLimits.resetBytesMin) return;
    const id = datagram.subarray(1, 1 + connectionIdBytes);
    if (!this.#mayReset() || !this.#options.ids.recognises(id)) return;
    const lengthBytes = Math.min(datagram.byteLength - 1, resetBytes);
    const reset = resetDatagram(this.#options.ids.resetToken(id), lengthBytes);
    this.#options.flusher.sendLoose(reset, host, port);
    this.#resets++;
  }

  #mayReset(): boolean {
    const now = this.#options.nowMs();
    if (now - this.#resetsFrom >= 1000) {
      this.#resetsFrom = now;
      this.#resets = 0;
    }
    return this.#resets < quicLimits.resetsPerSecond;
  }
}

function isShort(datagram: Uint8Array): boolean {
  return ((datagram[0] ?? 0) & 0x80) === 0;
}

const resetBytes = 42;
