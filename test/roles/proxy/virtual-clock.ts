import type { ApiClock } from "../../../src/fly/api-clock.ts";

/** Time that passes when a test says so; whoever sleeps wakes up in order. */
export class VirtualClock implements ApiClock {
  #nowMs = 1_000_000;
  readonly #sleepers = new Set<{ readonly untilMs: number; readonly wake: () => void }>();

  readonly monotonicMs = (): number => this.#nowMs;
  readonly random = (): number => 0.5;

  readonly sleep = async (ms: number, signal: AbortSignal | undefined): Promise<void> => {
    signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const sleeper = { untilMs: this.#nowMs + ms, wake: resolve };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", () => {
        this.#sleepers.delete(sleeper);
        reject(new Error("Aborted"));
      });
    });
  };

  /** Everybody who is due meanwhile has run, and slept again, before this resolves. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await settle();
    for (;;) {
      const [next] = [...this.#sleepers]
        .filter(({ untilMs }) => untilMs <= endMs)
        .toSorted((a, b) => a.untilMs - b.untilMs);
      if (next === undefined) break;
      this.#sleepers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.untilMs);
      next.wake();
      await settle();
    }
    this.#nowMs = endMs;
  }
}

/** Lets everything run that waits for no time to pass. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve();
}
