import { TokenBucket } from "../../system/token-bucket.ts";
import { usageLimits } from "./usage-limits.ts";

/** Counts, by address, who was refused; whoever is too often is not told even that. Time is handed in. */
export class RefusalRate {
  readonly #buckets = new Map<string, TokenBucket>();

  /** True when this refusal is one too many. */
  isTooMany(source: string, nowMs: number): boolean {
    const bucket = this.#buckets.get(source) ?? this.#add(source, nowMs);
    return !bucket.take(nowMs);
  }

  #add(source: string, nowMs: number): TokenBucket {
    if (this.#buckets.size >= usageLimits.sourcesMax) this.#forget(nowMs);
    const bucket = new TokenBucket({
      perSecond: usageLimits.refusalsPerSecond,
      burst: usageLimits.refusalsBurst,
      nowMs,
    });
    this.#buckets.set(source, bucket);
    return bucket;
  }

  #forget(nowMs: number): void {
    for (const [source, bucket] of this.#buckets)
      if (bucket.isFull(nowMs)) this.#buckets.delete(source);
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size >= usageLimits.sourcesMax && oldest !== undefined)
      this.#buckets.delete(oldest);
  }
}
