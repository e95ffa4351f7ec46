import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
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
 *
 * The number is computed again from the address, the time and the moves so far: copies from however many
 * addresses push none out before its answer comes, and none is good any more once the connection has moved.
 */
export class PeerAddress {
  #current: SocketAddress;
  #moves = 0;
  readonly #secret = randomBytes(32);
  /** Only so that none is challenged too often. */
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
    if (known !== undefined && nowMs - known.askedMs < quicLimits.challengeEveryMs) return null;
    const number = this.#number(from, epochOf(nowMs));
    if (known !== undefined) {
      known.askedMs = nowMs;
      return { number, first: false };
    }
    if (this.#candidates.size >= quicLimits.candidatesMax) {
      const [oldest = ""] = this.#candidates.keys();
      this.#candidates.delete(oldest);
    }
    this.#candidates.set(key, { sinceMs: nowMs, askedMs: nowMs });
    return { number, first: true };
  }

  /** A genuine answer with this number came from `from`. True when the connection moved there. */
  noteAnswer(from: SocketAddress, number: Uint8Array, nowMs: number): boolean {
    const epoch = epochOf(nowMs);
    const isRight = [epoch, epoch - 1].some((each) =>
      timingSafeEqual(this.#number(from, each), number),
    );
    if (!isRight) return false;
    this.#candidates.clear();
    this.#current = from;
    this.#moves++;
    return true;
  }

  #number({ host, port }: SocketAddress, epoch: number): Uint8Array {
    const hmac = createHmac("sha256", this.#secret).update(
      `${this.#moves} ${epoch} ${port} ${host}`,
    );
    return hmac.digest().subarray(0, looseNumberBytes);
  }
}

function epochOf(nowMs: number): number {
  return Math.floor(nowMs / quicLimits.challengeEpochMs);
}

export interface Challenge {
  readonly number: Uint8Array;
  /** Nothing was known of this address before. */
  readonly first: boolean;
}

interface Candidate {
  readonly sinceMs: number;
  askedMs: number;
}
