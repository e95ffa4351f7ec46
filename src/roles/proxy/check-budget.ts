import { proxyLimits } from "./limits.ts";
import type { Source } from "./source.ts";
import { TokenBucket } from "./token-bucket.ts";

/**
 * How many tags and ids of strangers are looked at. In a flood, first those go unseen whose networks
 * sent wrong ones lately, then all: what known clients send needs no check. Without a flood nobody
 * is punished, since a wrong tag may come from a forged address.
 */
export class CheckBudget {
  readonly #checks = new TokenBucket(proxyLimits.checksPerSecond, proxyLimits.checksBurst);
  /** Until when, by network; those that were added first are first. */
  readonly #penalties = new Map<Source["network"], number>();

  get penalties(): number {
    return this.#penalties.size;
  }

  /** Null: look at it. */
  take(network: Source["network"], nowMs: number): "penalty" | "pressure" | null {
    const left = this.#checks.level(nowMs);
    if (left < 1) return "pressure";
    if (left < proxyLimits.checksBurst / 2 && this.#isPenalised(network, nowMs)) return "penalty";
    this.#checks.take(1, nowMs);
    return null;
  }

  noteWrong(network: Source["network"], nowMs: number): void {
    const { penaltyMsMax, penaltyPerBadTagMs, penaltyNetworksMax } = proxyLimits;
    const known = this.#penalties.get(network);
    // A full table is no reason to punish anybody for a neighbour's deeds.
    if (known === undefined && this.#penalties.size >= penaltyNetworksMax && !this.#expire(nowMs))
      return;
    const untilMs = Math.max(known ?? nowMs, nowMs) + penaltyPerBadTagMs;
    this.#penalties.set(network, Math.min(untilMs, nowMs + penaltyMsMax));
  }

  #isPenalised(network: Source["network"], nowMs: number): boolean {
    const untilMs = this.#penalties.get(network);
    return untilMs !== undefined && untilMs - nowMs >= proxyLimits.penaltyMsMin;
  }

  /** False where even the first is still in force. */
  #expire(nowMs: number): boolean {
    for (const [network, untilMs] of this.#penalties) {
      if (untilMs > nowMs) break;
      this.#penalties.delete(network);
    }
    return this.#penalties.size < proxyLimits.penaltyNetworksMax;
  }
}
