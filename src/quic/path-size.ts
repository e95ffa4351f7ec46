import { quicLimits } from "./limits.ts";

/**
 * How large the datagrams are that the path carries (RFC 8899). 1200 bytes always; more once probes of a
 * larger size were answered, which are sent when there is much to send, and again from time to time; those of
 * the size in use also when something seems to be stuck. A path that may have changed is taken for one that carries 1200.
 */
export class PathSize {
  readonly #sizes: readonly number[];
  #datagramBytes: number = quicLimits.datagramBytesBase;
  #sentBytes = 0;
  /** No new search before, unless something seems to be stuck. */
  #notBeforeMs = 0;
  #pauseMs: number = quicLimits.searchPauseMs;
  #search: Search | undefined;
  #confirmedMs = 0;
  #count = 0n;
  #dueMs = Number.POSITIVE_INFINITY;

  /** `largestBytes` is what is worth trying, and what QUIC's stack was told it may send. */
  constructor(largestBytes: number) {
    this.#sizes = [...new Set([largestBytes, ...quicLimits.datagramBytesTried])]
      .filter((bytes) => bytes > quicLimits.datagramBytesBase && bytes <= largestBytes)
      .toSorted((one, other) => other - one);
  }

  get datagramBytes(): number {
    return this.#datagramBytes;
  }

  /** When `probes` are to be sent; infinity while there are none. */
  get dueMs(): number {
    return this.#dueMs;
  }

  noteSent(bytes: number, nowMs: number): void {
    this.#sentBytes += bytes;
    const isAwaited = this.#dueMs !== Number.POSITIVE_INFINITY || this.#sizes.length === 0;
    if (isAwaited || this.#sentBytes < quicLimits.searchSentBytes) return;
    // No timer waits for that time: with nothing more to send there is nothing to find out.
    if (nowMs >= this.#notBeforeMs) this.#dueMs = nowMs;
  }

  /** Numbers of the probes to send now: none before it is due, or when that was the end of a search. */
  probes(nowMs: number, rttMs: () => number): readonly bigint[] {
    if (nowMs < this.#dueMs) return [];
    this.#search ??= newSearch(this.#sizes);
    const search = this.#search;
    if (search.rounds >= quicLimits.searchRounds) {
      this.#end(search, nowMs);
      return [];
    }
    search.rounds += 1;
    this.#dueMs = nowMs + Math.max(quicLimits.searchRoundMs, roundTripsWaited * rttMs());
    const numbers = search.sizes
      .filter((bytes) => bytes >= this.#datagramBytes)
      .map((bytes) => (++this.#count << sizeBits) | BigInt(bytes));
    for (const number of numbers) search.numbers.add(number);
    return numbers;
  }

  /** The peer has received the probe with this number. */
  noteCarried(number: bigint, nowMs: number): void {
    const search = this.#search;
    if (search === undefined || !search.numbers.has(number)) return;
    const bytes = probedBytes(number);
    if (bytes < this.#datagramBytes) return;
    this.#datagramBytes = bytes;
    this.#confirmedMs = nowMs;
    search.isConfirmed = true;
    if (bytes === search.sizes[0]) this.#end(search, nowMs);
  }

  /** Something does not get through: perhaps for its size, which is probed alone. */
  check(nowMs: number): void {
    if (this.#datagramBytes === quicLimits.datagramBytesBase || this.#search !== undefined) return;
    this.#search = newSearch([this.#datagramBytes]);
    this.#dueMs = nowMs;
  }

  /** Packets were lost, as some are on most lines. Perhaps they were the large ones, and what small ones say hides that. */
  noteLost(nowMs: number): void {
    if (nowMs >= this.#confirmedMs + quicLimits.confirmedMs) this.check(nowMs);
  }

  /** The path may be another one from now on. */
  forget(): void {
    this.#datagramBytes = quicLimits.datagramBytesBase;
    this.#search = undefined;
    this.#sentBytes = 0;
    this.#dueMs = Number.POSITIVE_INFINITY;
    this.#notBeforeMs = 0;
    this.#pauseMs = quicLimits.searchPauseMs;
  }

  #end({ isConfirmed, sizes }: Search, nowMs: number): void {
    this.#search = undefined;
    this.#dueMs = Number.POSITIVE_INFINITY;
    // The size in use was confirmed, and nothing found out about others.
    if (isConfirmed && sizes !== this.#sizes) return;
    const longerMs = Math.min(2 * this.#pauseMs, quicLimits.searchPauseMsMax);
    this.#pauseMs = isConfirmed ? quicLimits.searchPauseMs : longerMs;
    this.#notBeforeMs = nowMs + this.#pauseMs;
    this.#sentBytes = 0;
    if (!isConfirmed) this.#datagramBytes = quicLimits.datagramBytesBase;
  }
}

function newSearch(sizes: readonly number[]): Search {
  return { sizes, rounds: 0, numbers: new Set(), isConfirmed: false };
}

interface Search {
  /** The largest first. */
  readonly sizes: readonly number[];
  rounds: number;
  /** Of its probes: other replies are to older ones, which say nothing of the path as it is now, or forged by the peer. */
  readonly numbers: Set<bigint>;
  isConfirmed: boolean;
}

/** How long the datagram is that a probe of this number fills: its lower 16 bits. The upper 48 count. */
export function probedBytes(number: bigint): number {
  return Number(number & sizeMask);
}

const sizeBits = 16n;
const sizeMask = 0xffffn;
const roundTripsWaited = 3;
