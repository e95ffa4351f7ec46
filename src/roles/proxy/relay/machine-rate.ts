import { proxyLimits } from "../limits.ts";
import { TokenBucket } from "../../../system/token-bucket.ts";

/** What one flow had lately: as a share of all that its machine can have in a burst. */
export interface RateShare {
  sinceMs: number;
  used: number;
}

/**
 * What may pass between one machine and its clients, one way. Any client may have all of it, but the
 * lower half of the buckets is for those that had less than their part: one that floods cannot keep
 * the others from their machine.
 */
export class MachineRate {
  /** How many flows it is for. */
  sharers = 0;
  readonly #bytesBurst: number;
  readonly #datagramsBurst: number;
  readonly #bytes: TokenBucket;
  readonly #datagrams: TokenBucket;

  constructor(bitsPerSecond: number) {
    const bytesPerSecond = bitsPerSecond / 8;
    this.#bytesBurst = Math.max(2 * batchBytesMax, bytesPerSecond * burstS);
    this.#bytes = new TokenBucket({ perSecond: bytesPerSecond, burst: this.#bytesBurst });
    // A machine that may have more bytes may have more datagrams as well.
    const datagramsPerSecond =
      (bitsPerSecond / proxyLimits.machineBitsPerSecond) * proxyLimits.machineDatagramsPerSecond;
    this.#datagramsBurst = Math.max(datagramsBatchMax, datagramsPerSecond * burstS);
    this.#datagrams = new TokenBucket({
      perSecond: datagramsPerSecond,
      burst: this.#datagramsBurst,
    });
  }

  /** False: drop them. */
  take(share: RateShare, bytes: number, datagrams: number, nowMs: number): boolean {
    const bytesLeft = this.#bytes.level(nowMs);
    const datagramsLeft = this.#datagrams.level(nowMs);
    if (bytesLeft < bytes || datagramsLeft < datagrams) return false;
    if (nowMs - share.sinceMs >= proxyLimits.machineBurstMs) {
      share.sinceMs = nowMs;
      share.used = 0;
    }
    const isScarce = bytesLeft < this.#bytesBurst / 2 || datagramsLeft < this.#datagramsBurst / 2;
    if (isScarce && share.used * this.sharers >= 1) return false;
    share.used += bytes / this.#bytesBurst + datagrams / this.#datagramsBurst;
    this.#bytes.take(nowMs, bytes);
    this.#datagrams.take(nowMs, datagrams);
    return true;
  }
}

const burstS = proxyLimits.machineBurstMs / 1000;
/** The kernel hands over 64 KiB at once; less could never pass. */
const batchBytesMax = 65_536;
const datagramsBatchMax = 128;
