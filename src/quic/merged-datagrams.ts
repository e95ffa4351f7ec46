import { admissionBytes, admissionMagic } from "./admission-header.ts";
import type { KnowsDatagram } from "./carrier.ts";
import { connectionIdBytes } from "./connection-id.ts";
import { quicLimits } from "./limits.ts";
import { isLoopback } from "../system/ip-address.ts";

/** Where a block is to be cut, and what it took to find that. */
export interface Cut {
  /** Of each datagram but the last, which may be shorter. */
  readonly datagramBytes: number;
  /** Places looked at; a test holds it against what a block has bytes. */
  readonly looks: number;
}

/**
 * How long each datagram of a block from `host` is, but the last. `knows` tells whether one begins with an id of ours:
 * on loopback that is a large datagram most often, and no search worth. From elsewhere none is so large, and a stray
 * with the id of another connection would cost all behind it.
 */
export function datagramBytesOf(block: Uint8Array, host: string, knows: KnowsDatagram): number {
  return cutOf(block, isLoopback(host) && knows(block)).datagramBytes;
}

/**
 * Linux hands over datagrams that came one after another on one flow as one block (UDP_GRO): all of
 * them of one length but the last, which may be shorter. Bun does not pass on what length that is.
 * But each QUIC packet to us begins with the connection id we chose, 20 bytes that nobody meets by
 * chance: a datagram begins where the id comes again. Anybody may send by the same flow, so not every
 * datagram needs to have it; `isKnown` says that the first one begins with an id of ours, and may be large.
 */
export function cutOf(block: Uint8Array, isKnown = false): Cut {
  return new Cutter(block, isKnown).cut();
}

class Cutter {
  readonly #bytes: Buffer;
  readonly #isKnown: boolean;
  #looks = 0;

  constructor(block: Uint8Array, isKnown: boolean) {
    this.#isKnown = isKnown;
    this.#bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
  }

  cut(): Cut {
    const datagramBytes = this.#datagramBytes();
    return { datagramBytes, looks: this.#looks };
  }

  #datagramBytes(): number {
    const bytes = this.#bytes;
    const sealed = bytes[0] === admissionMagic ? admissionDistance(bytes) : undefined;
    if (sealed !== undefined) return sealed;
    const starts = this.#startsOf(idOffset(bytes, 0));
    const even = this.#evenDistance(starts);
    if (even !== undefined) return even;
    const best = this.#bestDistance(starts);
    // So short a block is most often one packet, and no search worth what a stray before others spoils.
    const isEnough = this.#isKnown || bytes.byteLength <= quicLimits.searchedBlockBytesMin;
    if (isEnough || 2 * best.score > this.#pieces(best.length)) return best.length;
    const behind = this.#bestDistance(this.#startsOf(this.#idBehindStray()));
    return behind.score > best.score ? behind.length : best.length;
  }

  /** Where packets begin that have the id that stands there. */
  #startsOf(idAt: number | undefined): number[] {
    const starts: number[] = [];
    if (idAt === undefined) return starts;
    const id = this.#bytes.subarray(idAt, idAt + connectionIdBytes);
    for (let at = this.#bytes.indexOf(id); at !== -1;) {
      this.#looks += 1;
      const start = headerBefore(this.#bytes, at);
      if (start !== undefined) starts.push(start);
      at = this.#bytes.indexOf(id, at + connectionIdBytes);
    }
    return starts;
  }

  /**
   * A datagram holds several packets only in the handshake, where none but the last has a short header: as long as
   * that lasts, each piece must begin with one.
   */
  #evenDistance(starts: readonly number[]): number | undefined {
    const isHandshake = starts.slice(0, -1).every((start) => isLong(this.#bytes, start));
    if (!isHandshake) return undefined;
    return starts.slice(1).find((length) => this.#hits(starts, length) === this.#pieces(length));
  }

  /** That of two neighbours at whose multiples most packets begin, and least else. */
  #bestDistance(starts: readonly number[]): Distance {
    let best: Distance = { length: this.#bytes.byteLength, score: 0 };
    for (const length of new Set(starts.map((start, at) => start - (starts[at - 1] ?? 0)))) {
      const pieces = this.#pieces(length);
      // What even hits everywhere would not beat.
      if (pieces <= best.score) continue;
      const score = this.#hits(starts, length) ** 2 / pieces;
      if (score > best.score) best = { length, score };
    }
    return best;
  }

  #hits(starts: readonly number[], length: number): number {
    // Only somebody who plants ids has so many distances, or such short ones.
    if (this.#looks > quicLimits.cutLooksMax || length < packetBytesMin) return 0;
    this.#looks += starts.length;
    return starts.filter((start) => start % length === 0).length;
  }

  #pieces(length: number): number {
    return Math.ceil(this.#bytes.byteLength / length);
  }

  /**
   * The first piece is none of our peer's: of the others two have the same id, one twice as far from the
   * beginning. From the far end, where what somebody wrote into that first piece is not met.
   */
  #idBehindStray(): number | undefined {
    const bytes = this.#bytes;
    const farthest = Math.floor(bytes.byteLength / 2);
    for (let length = farthest; length >= packetBytesMin; length--) {
      const second = idOffset(bytes, length);
      const third = second === undefined ? undefined : idOffset(bytes, 2 * length);
      if (second === undefined || third === undefined || !isSameId(bytes, second, third)) continue;
      this.#looks += farthest - length;
      return second;
    }
    this.#looks += farthest;
    return undefined;
  }
}

interface Distance {
  readonly length: number;
  /** Hits, times their share of the pieces. */
  readonly score: number;
}

/** First datagrams of one client, each behind its admission: that begins with the same bytes. */
function admissionDistance(bytes: Buffer): number | undefined {
  const distanceMin = admissionBytes + quicLimits.initialDatagramBytesMin;
  const at = bytes.indexOf(bytes.subarray(0, sameAdmissionBytes), distanceMin);
  return at === -1 ? undefined : at;
}

function isSameId(bytes: Uint8Array, one: number, other: number): boolean {
  for (let at = 0; at < connectionIdBytes; at++)
    if (bytes[one + at] !== bytes[other + at]) return false;
  return true;
}

/** Where the packet begins whose id stands at `at`. */
function headerBefore(bytes: Uint8Array, at: number): number | undefined {
  for (const start of [at - shortIdAt, at - longIdAt]) {
    if (start >= 0 && idOffset(bytes, start) === at) return start;
  }
  return undefined;
}

/** Where the id of a packet that begins at `start` stands (RFC 8999, 5); undefined where it has none of our length. */
function idOffset(bytes: Uint8Array, start: number): number | undefined {
  const first = bytes[start] ?? 0;
  if ((first & 0x40) === 0) return undefined;
  const long = isLong(bytes, start);
  if (long && bytes[start + longIdAt - 1] !== connectionIdBytes) return undefined;
  const at = start + (long ? longIdAt : shortIdAt);
  return at + connectionIdBytes <= bytes.byteLength ? at : undefined;
}

function isLong(bytes: Uint8Array, start: number): boolean {
  return ((bytes[start] ?? 0) & 0x80) !== 0;
}

const shortIdAt = 1;
/** After the first byte, the version and the length of the id. */
const longIdAt = 6;
const packetBytesMin = shortIdAt + connectionIdBytes;
/** Magic, epoch and machine id; behind them stands the time. */
const sameAdmissionBytes = 9;
