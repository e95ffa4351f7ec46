import { loginLimits } from "./login-limits.ts";

export type MintTurn =
  | { readonly kind: "granted" }
  | { readonly kind: "busy"; readonly retryAfterMs: number }
  /** The one who waited has gone; its place was given to the next. */
  | { readonly kind: "gone" };

export interface MintLimits {
  readonly mintEveryMs: number;
  readonly mintBurst: number;
  readonly mintQueueMax: number;
  readonly mintWaitMs: number;
}

interface Waiter {
  readonly settle: (turn: MintTurn) => void;
}

/**
 * Turns at asking Fly for evidence, over all connections: three at once, then one a second. Eight
 * may queue, and no longer than their clients wait; beyond that one is told when to come again. Turns are all that
 * connections share: each gets evidence of its own.
 */
export class MintBudget {
  readonly #monotonicMs: () => number;
  readonly #limits: MintLimits;
  readonly #queue: Waiter[] = [];
  /** When the budget would be whole again, were nobody to ask any more. */
  #wholeMs = Number.NEGATIVE_INFINITY;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(monotonicMs: () => number, limits: MintLimits = loginLimits) {
    this.#monotonicMs = monotonicMs;
    this.#limits = limits;
  }

  /** Waits at most so long, else as long as a client that has just come may. */
  async take(gone: Promise<unknown>, waitMs = this.#limits.mintWaitMs): Promise<MintTurn> {
    if (this.#queue.length === 0 && this.#waitMs() <= 0) {
      this.#spend();
      return { kind: "granted" };
    }
    if (this.#queue.length >= this.#limits.mintQueueMax || waitMs <= 0) return this.#busy();
    return this.#wait(gone, waitMs);
  }

  /** Fly said that it has counted more calls than we did: the next one goes a whole turn from now. */
  exhaust(): void {
    const burstMs = (this.#limits.mintBurst - 1) * this.#limits.mintEveryMs;
    const emptyMs = this.#monotonicMs() + burstMs + this.#limits.mintEveryMs;
    this.#wholeMs = Math.max(this.#wholeMs, emptyMs);
  }

  async #wait(gone: Promise<unknown>, waitMs: number): Promise<MintTurn> {
    const { promise, resolve: settle } = Promise.withResolvers<MintTurn>();
    const waiter = { settle };
    const timer = setTimeout(() => {
      settle(this.#busy());
    }, waitMs);
    void settleWhenGone(gone, settle);
    this.#queue.push(waiter);
    this.#schedule();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#leave(waiter);
    }
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#queue.length === 0) return;
    const turn = (): void => {
      this.#timer = undefined;
      const [next] = this.#waitMs() <= 0 ? this.#queue.splice(0, 1) : [];
      if (next !== undefined) {
        this.#spend();
        next.settle({ kind: "granted" });
      }
      this.#schedule();
    };
    this.#timer = setTimeout(turn, Math.max(1, Math.ceil(this.#waitMs())));
  }

  #leave(waiter: Waiter): void {
    const index = this.#queue.indexOf(waiter);
    if (index !== -1) this.#queue.splice(index, 1);
    if (this.#queue.length > 0 || this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** How long until the next call may go; zero or less means now. */
  #waitMs(): number {
    const burstMs = (this.#limits.mintBurst - 1) * this.#limits.mintEveryMs;
    return this.#wholeMs - burstMs - this.#monotonicMs();
  }

  #spend(): void {
    this.#wholeMs = Math.max(this.#wholeMs, this.#monotonicMs()) + this.#limits.mintEveryMs;
  }

  /** After the queue as it stands now has been served. */
  #busy(): MintTurn {
    const queuedMs = this.#queue.length * this.#limits.mintEveryMs;
    const waitMs = Math.max(0, this.#waitMs()) + queuedMs;
    return { kind: "busy", retryAfterMs: Math.max(this.#limits.mintEveryMs, Math.ceil(waitMs)) };
  }
}

async function settleWhenGone(gone: Promise<unknown>, settle: Waiter["settle"]): Promise<void> {
  await gone;
  settle({ kind: "gone" });
}
