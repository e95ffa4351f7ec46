import { TokenBucket } from "../../system/token-bucket.ts";
import { ApiError } from "./api-error.ts";
import { localLimits } from "./limits.ts";
import type { Match } from "./router.ts";

/** Fly's request limits: per action and per machine or app, harder for changes than for reads. */
export class Pacing {
  readonly #buckets = new Map<string, TokenBucket>();
  readonly #monotonicMs: () => number;

  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs;
  }

  /** 429 when this one came too soon. */
  check({ route, params }: Match): void {
    if (route.pace === "none") return;
    const nowMs = this.#monotonicMs();
    const id = params["id"] ?? params["volume"] ?? params["app"] ?? "";
    const key = `${route.method} ${route.path} ${id}`;
    const bucket = this.#buckets.get(key) ?? newBucket(route.pace, nowMs);
    if (!this.#buckets.has(key)) this.#remember(key, bucket, nowMs);
    if (!bucket.take(nowMs)) {
      throw new ApiError(429, "rate limit exceeded: slow down and try again");
    }
  }

  #remember(key: string, bucket: TokenBucket, nowMs: number): void {
    if (this.#buckets.size >= localLimits.bucketsMax) {
      for (const [old, each] of this.#buckets) if (each.isFull(nowMs)) this.#buckets.delete(old);
    }
    if (this.#buckets.size >= localLimits.bucketsMax) {
      throw new ApiError(429, "rate limit exceeded: too many different requests");
    }
    this.#buckets.set(key, bucket);
  }
}

function newBucket(pace: "action" | "read", nowMs: number): TokenBucket {
  return pace === "read"
    ? new TokenBucket({
        perSecond: localLimits.readPerSecond,
        burst: localLimits.readBurst,
        nowMs,
      })
    : new TokenBucket({
        perSecond: localLimits.actionPerSecond,
        burst: localLimits.actionBurst,
        nowMs,
      });
}
