import { MachinesApiError } from "../../fly/api-error.ts";
import { late, within } from "../../system/within.ts";
import { apiErrorLine } from "./api-failure.ts";
import { usageLimits } from "./usage-limits.ts";
import type { UsageSnapshot } from "./usage-snapshot.ts";

export type CachedUsage =
  | {
      readonly kind: "snapshot";
      readonly snapshot: UsageSnapshot;
      readonly ageMs: number;
      /** Why there is nothing newer; undefined where there need be none. */
      readonly staleBecause: string | undefined;
    }
  | { readonly kind: "failure"; readonly because: string };

/** Asks Fly once for all who want to know at the same time, and not again for some seconds. */
export class UsageCache {
  readonly #load: () => Promise<UsageSnapshot>;
  readonly #nowMs: () => number;
  #last: { readonly snapshot: UsageSnapshot; readonly atMs: number } | undefined;
  #failure: { readonly because: string; readonly atMs: number } | undefined;
  #loading: Promise<void> | undefined;
  /** For /metrics. */
  readonly loads: { ok: number; failed: number } = { ok: 0, failed: 0 };

  /** `load` may reject with `MachinesApiError` or `Error`. `nowMs` is monotonic. */
  constructor(load: () => Promise<UsageSnapshot>, nowMs: () => number) {
    this.#load = load;
    this.#nowMs = nowMs;
  }

  async read(waitMs: number = usageLimits.answerWaitMs): Promise<CachedUsage> {
    const { factsAgeMs } = usageLimits;
    const isDue = this.#ageMs(this.#last) >= factsAgeMs && this.#ageMs(this.#failure) >= factsAgeMs;
    if (isDue) this.#loading ??= this.#refresh();
    const outcome = this.#loading === undefined ? undefined : await within(this.#loading, waitMs);
    const lateWords = "the Machines API takes longer than usual";
    return this.#answer(outcome === late ? lateWords : this.#failure?.because);
  }

  /** Null before the first answer. */
  get lastMs(): number | null {
    return this.#last?.snapshot.observedAtMs ?? null;
  }

  #answer(trouble: string | undefined): CachedUsage {
    const last = this.#last;
    const ageMs = this.#ageMs(last);
    if (last === undefined || ageMs > usageLimits.staleMs)
      return { kind: "failure", because: trouble ?? "nothing was read yet" };
    const staleBecause = ageMs < usageLimits.factsAgeMs ? undefined : trouble;
    return { kind: "snapshot", snapshot: last.snapshot, ageMs, staleBecause };
  }

  async #refresh(): Promise<void> {
    try {
      const snapshot = await this.#load();
      this.#last = { snapshot, atMs: this.#nowMs() };
      this.#failure = undefined;
      this.loads.ok += 1;
    } catch (error) {
      this.#failure = { because: wordsOf(error), atMs: this.#nowMs() };
      this.loads.failed += 1;
    } finally {
      this.#loading = undefined;
    }
  }

  #ageMs(what: { readonly atMs: number } | undefined): number {
    return what === undefined ? Infinity : this.#nowMs() - what.atMs;
  }
}

/** One line for those who ask. Fly's words never hold the token. */
function wordsOf(error: unknown): string {
  if (error instanceof MachinesApiError) return apiErrorLine(error);
  return error instanceof Error ? error.message : String(error);
}
