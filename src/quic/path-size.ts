import { quicLimits } from "./limits.ts";

/**
 * How large the datagrams are that the path carries (RFC 8899). 1200 bytes always; more once probes of a
 * larger size were answered, which are sent when there is much to send, again from time to time, and when
 * something seems to be stuck. A path that may have changed is taken for one that carries 1200.
 */
export class PathSize {
  readonly #sizes: readonly number[];
  #datagramBytes: number = quicLimits.datagramBytesBase;
  #sentBytes = 0;
  /** No new search before, unless something seems to be stuck. */
  #notBeforeMs = 0;
  #pauseMs: number = quicLimits.searchPauseMs;
  #search: Search | undefined;
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
    this.#search ??= { rounds: 0, numbers: new Set(), isConfirmed: false };
    const search = this.#search;
    if (search.rounds >= quicLimits.searchRounds) {
      this.#end(search.isConfirmed, nowMs);
      return [];
    }
    search.rounds += 1;
    this.#dueMs = nowMs + Math.max(quicLimits.searchRoundMs, roundTripsWaited * rttMs());
    const numbers = this.#sizes
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
    search.isConfirmed = true;
    if (bytes === this.#sizes[0]) this.#end(true, nowMs);
  }

  /** Something does not get through: perhaps for its size. */
  check(nowMs: number): void {
    if (this.#datagramBytes === quicLimits.datagramBytesBase || this.#search !== undefined) return;
    this.#dueMs = nowMs;
  }

  /** The path may be another one from now on. */
  forget(): void {
    this.#datagramBytes = quicLimits.datagramBytesBase;
    this.#search = undefined;
    this.#sentBytes = 0;
    this.#dueMs = Number.POSITIVE_INFINITY;
  }

  #end(isConfirmed: boolean, nowMs: number): void {
    const longerMs = Math.min(2 * this.#pauseMs, quicLimits.searchPauseMsMax);
    this.#pauseMs = isConfirmed ? quicLimits.searchPauseMs : longerMs;
    this.#notBeforeMs = nowMs + this.#pauseMs;
    const { datagramBytes } = this;
    this.forget();
    if (isConfirmed) this.#datagramBytes = datagramBytes;
  }
}

interface Search {
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
