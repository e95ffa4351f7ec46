import { rolloutLimits } from "./rollout-limits.ts";

/** How much one machine may try its rollout's patience on the way to one goal. */
export class Patience {
  #attempts = 0;
  #surprises = 0;
  #missing = 0;
  #doubted = false;
  #heldSinceMs: number | undefined;
  #passingSinceMs: number | undefined;

  /** A call failed in passing: how long to wait before the next try; undefined when it was the last. */
  afterFault(): number | undefined {
    if (++this.#attempts >= rolloutLimits.attemptsMax) return undefined;
    return Math.min(rolloutLimits.retryMs * 2 ** (this.#attempts - 1), rolloutLimits.retryMsMax);
  }

  /** The machine was changed under us, or is there although it was said not to be. */
  bearsSurprise(): boolean {
    return ++this.#surprises < rolloutLimits.surprisesMax;
  }

  /** It is said not to be there. Once is no proof: the API's instances do not all know the same. */
  believesMissing(): boolean {
    return ++this.#missing >= rolloutLimits.missingMax;
  }

  /** Somebody else has the lease. */
  bearsHolder(limitMs: number, nowMs: number): boolean {
    this.#heldSinceMs ??= nowMs;
    return nowMs - this.#heldSinceMs < limitMs;
  }

  get isHeldUp(): boolean {
    return this.#heldSinceMs !== undefined;
  }

  /** It is neither at rest nor running yet. */
  bearsPassing(limitMs: number, nowMs: number): boolean {
    this.#passingSinceMs ??= nowMs;
    return nowMs - this.#passingSinceMs < limitMs;
  }

  /** It is back already, if that is no answer from before its update: a second look tells. */
  bearsDoubt(): boolean {
    const isFirst = !this.#doubted;
    this.#doubted = true;
    return isFirst;
  }

  noteSuccess(): void {
    this.#attempts = 0;
  }

  noteLeased(): void {
    this.#heldSinceMs = undefined;
  }

  noteSeen(): void {
    this.#missing = 0;
  }
}

/** One of ours whose nonce nobody knows any more runs out within its life. */
export function holderLimitMs(
  { leaseSeconds }: { readonly leaseSeconds: number },
  clearing: boolean,
): number {
  const moreMs = clearing ? rolloutLimits.heldWhileClearingMs : rolloutLimits.heldMs;
  return leaseSeconds * 1_000 + moreMs;
}
