import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { connectionIdBytes } from "./connection-id.ts";

/**
 * A message beside the packets of QUIC, for what quiche 0.18 cannot be asked to do. It looks like a
 * short-header packet, so that proxies route it, and is 45 bytes long: first byte, connection id of
 * the receiver (20), number (8), HMAC-SHA256 (16, by a key of its own from the TLS exporter).
 */
export const looseMessages = [
  /** Machine to client: an address that may be the client's new one is asked to prove it. */
  "challenge",
  /** Client to machine: that it does, with the same number. */
  "answer",
  /** The sender has something to send, and nothing lets it. Numbers count up. Two kinds, so that none can be sent back. */
  "client-blocked",
  "machine-blocked",
  /** The sender has heard nothing for a while: is the receiver there? Numbers count up. */
  "client-asks",
  "machine-asks",
  /** It is, with the number of the question. */
  "client-replies",
  "machine-replies",
  /** Does the path carry a datagram of this size? The number ends with it. */
  "client-probes",
  "machine-probes",
  /** It did, with the number of the probe. */
  "client-carries",
  "machine-carries",
  /** The sender gave a stream up: the number is its id (48 bits), whether its half has ended (1) and the code (15). */
  "client-gives-up",
  "machine-gives-up",
] as const;
export type LooseMessage = (typeof looseMessages)[number];

export function looseMessage(
  kind: LooseMessage,
  key: Uint8Array,
  receiverId: Uint8Array,
  number: Uint8Array,
): Uint8Array {
  const first = Uint8Array.of(0x40 | ((randomBytes(1)[0] ?? 0) & 0x3f));
  return Buffer.concat([first, receiverId, number, tag(kind, key, number)]);
}

/** The number in a genuine message of this kind, or null when the datagram is something else. */
export function openLooseMessage(
  kind: LooseMessage,
  key: Uint8Array,
  datagram: Uint8Array,
): Uint8Array | null {
  if (datagram.byteLength !== looseMessageBytes) return null;
  const number = datagram.subarray(1 + connectionIdBytes, looseMessageBytes - tagBytes);
  const genuine = timingSafeEqual(
    tag(kind, key, number),
    datagram.subarray(looseMessageBytes - tagBytes),
  );
  return genuine ? number : null;
}

function tag(kind: LooseMessage, key: Uint8Array, number: Uint8Array): Uint8Array {
  const full = createHmac("sha256", key).update(kind).update(number).digest();
  return full.subarray(0, tagBytes);
}

export const looseNumberBytes = 8;
const tagBytes = 16;
export const looseMessageBytes = 1 + connectionIdBytes + looseNumberBytes + tagBytes;
