import { proxyLimits } from "./limits.ts";
import { PenaltyTable } from "./penalty-table.ts";
import type { Source } from "./source.ts";
import { TokenBucket } from "./token-bucket.ts";

/**
 * How many tags and ids of strangers are looked at. In a flood, first those go unseen whose networks
 * sent wrong ones lately, then all: what known clients send needs no check. Without a flood nobody
 * is punished, since a wrong tag may come from a forged address.
 */
export class CheckBudget {
  readonly #checks = new TokenBucket(proxyLimits.checksPerSecond, proxyLimits.checksBurst);
  readonly penalties: PenaltyTable;

  constructor(penalties: PenaltyTable) {
    this.penalties = penalties;
  }

  /** Null: look at it. */
  take(network: Source["network"], nowMs: number): "penalty" | "pressure" | null {
    const left = this.#checks.level(nowMs);
    if (left < 1) return "pressure";
    const isShort = left < proxyLimits.checksBurst / 2;
    if (isShort && this.penalties.isPunished(network, nowMs)) return "penalty";
    this.#checks.take(1, nowMs);
    return null;
  }

  noteWrong(network: Source["network"], nowMs: number): void {
    this.penalties.note(network, nowMs);
  }
}
