import { ApiError } from "./api-error.ts";
import { localLimits } from "./limits.ts";

export type WaitOutcome = "reached" | "timeout" | "aborted";

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
