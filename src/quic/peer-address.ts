import { randomBytes, timingSafeEqual } from "node:crypto";
import type { SocketAddress } from "./connection.ts";
import { quicLimits } from "./limits.ts";
import { looseNumberBytes } from "./loose-message.ts";

/**
 * Where the peer of a server's connection is, and how it may move.
 *
 * quiche sees one address for the whole life of a connection. (Told of a second one, quiche 0.18
 * repeats what was under way to the old one two packets per timeout: a download never recovers. And
 * after 63 changes it drops everything.) So a move is checked here, as RFC 9000, 9.3 asks: an
 * authentic packet from elsewhere makes that address a candidate; it is sent a challenge, no larger
 * than the packet, with a number nobody else sees; only the answer, from that very address, moves
 * the connection. Until then everything goes to the old address.
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
    const number = randomBytes(looseNumberBytes);
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
