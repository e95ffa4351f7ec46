import { ApiError } from "./api-error.ts";
import { localLimits } from "./limits.ts";
import type { MachineRecord } from "./record.ts";

export type WaitOutcome = "reached" | "timeout" | "aborted";

/** What a `wait` waits for. */
export interface WaitWish {
  readonly states: readonly string[];
  readonly version: string | undefined;
  /** Only what came after this event of the past, if it is still remembered. */
  readonly fromEvent: string | undefined;
}

export function isReached(record: MachineRecord, wish: WaitWish): boolean {
  if (wish.version !== undefined && wish.version !== record.version) return false;
  const wanted = (state: string): boolean =>
    wish.states.includes(state) || (wish.states.includes("settled") && isSettled(state));
  const known = record.events.findIndex((event) => event.id === wish.fromEvent);
  // What happened after that event counts although it has passed, what was before it does not.
  return known === -1
    ? wanted(record.state)
    : record.events.slice(0, known).some(({ status }) => wanted(status));
}

/** The states in which a machine rests. */
export function isSettled(state: string): boolean {
  return ["created", "started", "stopped", "suspended", "failed", "destroyed"].includes(state);
}

/** Those who asked to be told about a state. Bounded: each is an open request. */
export class StateWaiters {
  readonly #checks = new Set<() => void>();

  async wait(
    satisfied: () => boolean,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<WaitOutcome> {
    if (satisfied()) return "reached";
    if (signal.aborted) return "aborted";
    if (this.#checks.size >= localLimits.waitersMax) {
      throw new ApiError(429, "too many requests wait for this machine");
    }
    return new Promise<WaitOutcome>((resolve) => {
      const end = (outcome: WaitOutcome): void => {
        this.#checks.delete(check);
        clearTimeout(timer);
        signal.removeEventListener("abort", abort);
        resolve(outcome);
      };
      const check = (): void => {
        if (satisfied()) end("reached");
      };
      const abort = (): void => end("aborted");
      const timer = setTimeout(() => end("timeout"), timeoutMs);
      signal.addEventListener("abort", abort);
      this.#checks.add(check);
    });
  }

  notify(): void {
    // A check takes itself out of the set, which iteration over a Set allows.
    for (const check of this.#checks) check();
  }
}
