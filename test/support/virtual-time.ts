import type { ApiClock } from "../../src/fly/api-clock.ts";

interface Sleeper {
  readonly atMs: number;
  readonly order: number;
  readonly wake: () => void;
}

/** A clock that stands still while anything has something to do, and then jumps to whoever sleeps least. */
export class VirtualTime implements Pick<ApiClock, "monotonicMs" | "sleep"> {
  nowMs = 1_000;
  #order = 0;
  readonly #sleepers = new Set<Sleeper>();

  readonly monotonicMs = (): number => this.nowMs;

  readonly sleep = async (ms: number, signal?: AbortSignal): Promise<void> => {
    signal?.throwIfAborted();
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#sleepers.delete(sleeper);
        resolve();
      };
      const sleeper = { atMs: this.nowMs + Math.max(0, ms), order: this.#order++, wake: done };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", done, { once: true });
    });
    signal?.throwIfAborted();
  };

  /** Until the work is over. Rejects when it waits for something that is no sleep, or takes too long. */
  async run<T>(work: Promise<T>, limitMs = 7 * 86_400_000): Promise<T> {
    let over = false;
    const settle = (): void => void (over = true);
    work.then(settle, settle);
    const untilMs = this.nowMs + limitMs;
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      if (over) return work;
      const next = this.#next();
      if (next === undefined) throw new Error("Nobody sleeps and nothing is done: it hangs");
      this.nowMs = Math.max(this.nowMs, next.atMs);
      if (this.nowMs > untilMs) throw new Error(`It takes longer than ${limitMs} ms`);
      next.wake();
    }
  }

  #next(): Sleeper | undefined {
    let first: Sleeper | undefined;
    for (const sleeper of this.#sleepers) {
      if (first === undefined || sleeper.atMs < first.atMs) first = sleeper;
    }
    return first;
  }
}
