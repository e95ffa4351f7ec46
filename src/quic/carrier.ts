import type { SocketAddress } from "./connection.ts";
import type { SendBatch } from "./send-batch.ts";

/** What carries datagrams: UDP, or a WebSocket where no UDP gets through. QUIC above does not notice. */
export interface DatagramCarrier {
  readonly address: SocketAddress;
  /** Costs nobody anything while it is open and not used. */
  readonly mayLinger?: boolean;
  /** False when there is no room now; the same batch is offered again later. Losses are silent. */
  send(batch: SendBatch): boolean;
  /** Sends a batch of one datagram that nobody on the way may cut, where that can be asked for. */
  sendWhole?(batch: SendBatch): void;
  close(): void;
}

export type DatagramReceiver = (datagram: Uint8Array, port: number, host: string) => void;
/** Whether a datagram begins as those of our connections do. */
export type KnowsDatagram = (datagram: Uint8Array) => boolean;
export type OpenCarrier = (
  bind: SocketAddress,
  receive: DatagramReceiver,
  knows?: KnowsDatagram,
) => Promise<DatagramCarrier>;

/**
 * Stands before QUIC: the admission header of the proxy protocol. Only datagrams with a long header
 * are shown to it on the way out, so bulk data pays nothing.
 */
export interface DatagramGate {
  /** The bytes to send instead of `datagram`, or null to send it as it is. */
  seal(datagram: Uint8Array, to: SocketAddress): Uint8Array | null;
  /** The QUIC datagram inside something that is no bare QUIC (bit 0x40 clear), or null to drop it. */
  open(datagram: Uint8Array, from: SocketAddress): Uint8Array | null;
}
