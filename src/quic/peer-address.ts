import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { SocketAddress } from "./connection.ts";
import { connectionIdBytes } from "./connection-id.ts";
import { quicLimits } from "./limits.ts";

/**
 * Where the peer of a server's connection is, and how it may move.
 *
 * quiche sees one address for the whole life of a connection. (Told of a second one, quiche 0.18
 * repeats what was under way to the old one two packets per timeout: a download never recovers. And
 * after 63 changes it drops everything.) So a move is checked here, as RFC 9000, 9.3 asks: an
 * authentic packet from elsewhere makes that address a candidate; it is sent a challenge, no larger
 * than the packet, with a number nobody else sees; only the answer, from that very address, moves
 * the connection. Until then everything goes to the old address.
 *
 * Both messages look like a short-header packet, so that proxies route them, and are 45 bytes long:
 * first byte, connection id of the receiver (20), number (8), HMAC-SHA256 (16, by a key of its own
 * from the TLS exporter).
 */
export class PeerAddress {
  #current: SocketAddress;
  #moves = 0;
  readonly #candidates = new Map<string, Candidate>();

  constructor(first: SocketAddress) {
    this.#current = first;
  }

  get current(): SocketAddress {
    return this.#current;
  }
  get moves(): number {
    return this.#moves;
  }

  is(host: string, port: number): boolean {
    return port === this.#current.port && host === this.#current.host;
  }

  /** An authentic packet came from `from`. What to challenge it with, or null for not now. */
  noteAuthentic(from: SocketAddress, nowMs: number): Challenge | null {
    const key = `${from.host} ${from.port}`;
    for (const [name, { sinceMs }] of this.#candidates) {
      if (nowMs - sinceMs > quicLimits.candidateMs) this.#candidates.delete(name);
    }
    const known = this.#candidates.get(key);
    if (known !== undefined) {
      if (nowMs - known.askedMs < quicLimits.challengeEveryMs) return null;
      known.askedMs = nowMs;
      return { number: known.number, first: false };
    }
    if (this.#candidates.size >= quicLimits.candidatesMax) {
      const [oldest = ""] = this.#candidates.keys();
      this.#candidates.delete(oldest);
    }
    const number = randomBytes(numberBytes);
    this.#candidates.set(key, { number, sinceMs: nowMs, askedMs: nowMs });
    return { number, first: true };
  }

  /** A genuine answer with this number came from `from`. True when the connection moved there. */
  noteAnswer(from: SocketAddress, number: Uint8Array): boolean {
    const key = `${from.host} ${from.port}`;
    const candidate = this.#candidates.get(key);
    if (candidate === undefined || !timingSafeEqual(candidate.number, number)) return false;
    this.#candidates.delete(key);
    this.#current = from;
    this.#moves++;
    return true;
  }
}

export interface Challenge {
  readonly number: Uint8Array;
  /** Nothing was known of this address before. */
  readonly first: boolean;
}

interface Candidate {
  readonly number: Uint8Array;
  readonly sinceMs: number;
  askedMs: number;
}

export type AddressMessage = "challenge" | "answer";

export function addressMessage(
  kind: AddressMessage,
  key: Uint8Array,
  receiverId: Uint8Array,
  number: Uint8Array,
): Uint8Array {
  const first = Uint8Array.of(0x40 | ((randomBytes(1)[0] ?? 0) & 0x3f));
  return Buffer.concat([first, receiverId, number, tag(kind, key, number)]);
}

/** The number in a genuine message of this kind, or null when the datagram is something else. */
export function openAddressMessage(
  kind: AddressMessage,
  key: Uint8Array,
  datagram: Uint8Array,
): Uint8Array | null {
  if (datagram.byteLength !== messageBytes) return null;
  const number = datagram.subarray(1 + connectionIdBytes, messageBytes - tagBytes);
  const genuine = timingSafeEqual(
    tag(kind, key, number),
    datagram.subarray(messageBytes - tagBytes),
  );
  return genuine ? number : null;
}

function tag(kind: AddressMessage, key: Uint8Array, number: Uint8Array): Uint8Array {
  const full = createHmac("sha256", key).update(kind).update(number).digest();
  return full.subarray(0, tagBytes);
}

const numberBytes = 8;
const tagBytes = 16;
const messageBytes = 1 + connectionIdBytes + numberBytes + tagBytes;
