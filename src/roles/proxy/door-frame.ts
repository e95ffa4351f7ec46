import { addressBytes, addressText } from "../../system/ip-address.ts";

/**
 * How the web process hands over datagrams that came by WebSocket, and gets those for them: over UDP
 * on 127.0.0.1, each behind 30 bytes. The cookie keeps everybody else on the machine out.
 *
 * 0-7 cookie, 8-11 connection, 12-27 the client's address (IPv4 as ::ffff:a.b.c.d), 28-29 zero.
 * Nothing behind them: the connection is gone.
 */
export interface DoorFrame {
  /** Told apart from all others of this and the last web process. */
  readonly connection: number;
  readonly address: string;
  readonly datagram: Uint8Array;
}

export const doorFrameBytes = 30;
export const cookieBytes = 8;

export function encodeDoorFrame(cookie: Uint8Array, frame: DoorFrame): Uint8Array {
  const bytes = Buffer.alloc(doorFrameBytes + frame.datagram.byteLength);
  bytes.set(cookie);
  bytes.writeUInt32BE(frame.connection, connectionAt);
  const raw = addressBytes(frame.address);
  if (raw.byteLength === 4) bytes.writeUInt16BE(0xffff, addressAt + 10);
  bytes.set(raw, addressAt + 16 - raw.byteLength);
  bytes.set(frame.datagram, doorFrameBytes);
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Null without the cookie. The datagram is in the same memory. */
export function decodeDoorFrame(cookie: Uint8Array, bytes: Uint8Array): DoorFrame | null {
  if (bytes.byteLength < doorFrameBytes) return null;
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.compare(cookie, 0, cookieBytes, 0, cookieBytes) !== 0) return null;
  const raw = buffer.subarray(addressAt, addressAt + 16);
  const mapped = raw.readBigUInt64BE(0) === 0n && raw.readUInt32BE(8) === 0xffff;
  return {
    connection: buffer.readUInt32BE(connectionAt),
    address: addressText(mapped ? raw.subarray(12) : raw),
    datagram: bytes.subarray(doorFrameBytes),
  };
}

const connectionAt = 8;
const addressAt = 12;
