import type { ClientFlow } from "./client-flow.ts";
import { proxyLimits } from "../limits.ts";
import { PenaltyTable } from "./penalty-table.ts";
import type { Source } from "../source.ts";
import { TokenBucket } from "../../../system/token-bucket.ts";

/**
 * How many tags and ids are looked at, each kind by itself: ids are cheap to flood with. In a flood,
 * first those go unseen whose networks sent lately what came to nothing, then all strangers', while
 * there is still some for clients with a flow, who may have a new id. What bears the id that its flow
 * had last needs no check at all. Without a flood nobody is punished, since a wrong tag may come from a
 * forged address.
 */
export class CheckBudget {
  readonly #left = {
    tags: new TokenBucket({
      perSecond: proxyLimits.checksPerSecond,
      burst: proxyLimits.checksBurst,
    }),
    ids: new TokenBucket({
      perSecond: proxyLimits.checksPerSecond,
      burst: proxyLimits.checksBurst,
    }),
  };
  readonly penalties: PenaltyTable;

  constructor(penalties: PenaltyTable) {
    this.penalties = penalties;
  }

  /** Null: look at it. `flow` is one of its address and port. */
  take(
    kind: "tags" | "ids",
    source: Source,
    flow: ClientFlow | undefined,
    nowMs: number,
  ): "penalty" | "pressure" | null {
    const left = this.#left[kind].level(nowMs);
    const isPreferred = flow?.mayBeChecked(nowMs) === true;
    // Has a flow, and more new ids than any client needs.
    if (flow !== undefined && !isPreferred) this.noteVain(source, nowMs);
    const isShort = left < proxyLimits.checksBurst / 2;
    if (left < (isPreferred ? 1 : proxyLimits.checksForFlows)) return "pressure";
    if (isShort && !isPreferred && this.penalties.isPunished(source.network, nowMs))
      return "penalty";
    this.#left[kind].take(nowMs);
    return null;
  }

  /** It was wrong, or of no use to whoever sent it. */
  noteVain({ network }: Source, nowMs: number): void {
    this.penalties.note(network, nowMs);
  }
}
