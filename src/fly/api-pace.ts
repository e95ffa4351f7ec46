import type { ApiClock } from "./api-clock.ts";
import { apiLimits } from "./api-limits.ts";
import { TokenBucket } from "../system/token-bucket.ts";

/** Keeps us below Fly's request limits, rather than finding them by being refused. */
export class ApiPace {
  readonly #clock: ApiClock;
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(clock: ApiClock) {
    this.#clock = clock;
  }

  async wait(call: {
    readonly action: string;
    readonly id: string;
    readonly pace?: "action" | "read";
    readonly signal?: AbortSignal | undefined;
  }): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    const delayMs = this.#bucket(`${call.action} ${call.id}`, call.pace, nowMs).reserve(nowMs);
    if (delayMs > 0) await this.#clock.sleep(delayMs, call.signal);
  }

  #bucket(key: string, pace: "action" | "read" | undefined, nowMs: number): TokenBucket {
    const known = this.#buckets.get(key);
    if (known !== undefined) return known;
    if (this.#buckets.size >= apiLimits.bucketsMax) this.#forget(nowMs);
    const bucket = new TokenBucket(
      pace === "read"
        ? { perSecond: apiLimits.readPerSecond, burst: apiLimits.readBurst, nowMs }
        : { perSecond: apiLimits.actionPerSecond, burst: apiLimits.actionBurst, nowMs },
    );
    this.#buckets.set(key, bucket);
    return bucket;
  }

  /** Full buckets hold nothing worth keeping; if none is full, the oldest goes. */
  #forget(nowMs: number): void {
    for (const [key, bucket] of this.#buckets) if (bucket.isFull(nowMs)) this.#buckets.delete(key);
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size >= apiLimits.bucketsMax && oldest !== undefined) {
      this.#buckets.delete(oldest);
    }
  }
}
