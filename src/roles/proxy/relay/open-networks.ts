import { proxyLimits } from "../limits.ts";
import type { Source } from "../source.ts";
import { TokenBucket } from "../../../system/token-bucket.ts";

/** What clients without keys may do, by network: with `--open` alone. */
export class OpenNetworks {
  /** The longest unused first; that one goes when there are too many, and is then as new. */
  readonly #allowances = new Map<Source["network"], Allowance>();

  get size(): number {
    return this.#allowances.size;
  }

  mayOpenFlow(network: Source["network"], nowMs: number): boolean {
    return this.#of(network).flows.take(nowMs);
  }

  mayStart(network: Source["network"], nowMs: number): boolean {
    return this.#of(network).starts.take(nowMs);
  }

  #of(network: Source["network"]): Allowance {
    const known = this.#allowances.get(network);
    const allowance = known ?? newAllowance();
    this.#allowances.delete(network);
    this.#allowances.set(network, allowance);
    if (this.#allowances.size > proxyLimits.openNetworksMax) {
      const [unused = network] = this.#allowances.keys();
      this.#allowances.delete(unused);
    }
    return allowance;
  }
}

interface Allowance {
  readonly flows: TokenBucket;
  readonly starts: TokenBucket;
}

function newAllowance(): Allowance {
  const limits = proxyLimits;
  return {
    flows: new TokenBucket({
      perSecond: limits.openFlowsPerNetworkPerSecond,
      burst: limits.openFlowsPerNetworkBurst,
    }),
    starts: new TokenBucket({ perSecond: limits.openStartsPerNetworkPerMinute / 60, burst: 1 }),
  };
}
