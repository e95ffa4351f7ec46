import { proxyLimits } from "./limits.ts";
import { PenaltyTable } from "./penalty-table.ts";
import type { Source } from "./source.ts";
import { TokenBucket } from "./token-bucket.ts";

/**
 * How many tags and ids are looked at. In a flood, first those go unseen whose networks sent wrong
 * ones lately, then all strangers', while there is still some for clients with a flow, who may have a
 * new id. What bears the id that its flow had last needs no check at all. Without a flood nobody is
 * punished, since a wrong tag may come from a forged address.
 */
export class CheckBudget {
  readonly #checks = new TokenBucket(proxyLimits.checksPerSecond, proxyLimits.checksBurst);
  readonly penalties: PenaltyTable;

  constructor(penalties: PenaltyTable) {
    this.penalties = penalties;
  }

  /** Null: look at it. */
  take({ network }: Source, hasFlow: boolean, nowMs: number): "penalty" | "pressure" | null {
    const left = this.#checks.level(nowMs);
    const isShort = left < proxyLimits.checksBurst / 2;
    if (left < (hasFlow ? 1 : proxyLimits.checksForFlows)) return "pressure";
    if (isShort && !hasFlow && this.penalties.isPunished(network, nowMs)) return "penalty";
    this.#checks.take(1, nowMs);
    return null;
  }

  noteWrong({ network }: Source, nowMs: number): void {
    this.penalties.note(network, nowMs);
  }
}
