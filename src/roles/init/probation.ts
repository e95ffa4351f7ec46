import type { UnwishedEnd, Workload } from "./workload.ts";

export interface ProbationOptions {
  readonly workload: Pick<Workload, "runtime" | "onEnded">;
  readonly probationMs: number;
  readonly onProven: () => void;
  /** `because` says in words how its init ended. */
  readonly onFailed: (because: string) => void;
}

/**
 * The first while of a new root filesystem: it has started, but an init may lack something that it only
 * finds out later. One that reboots the machine gets the whole time again.
 */
export class Probation {
  readonly #options: ProbationOptions;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ProbationOptions) {
    this.#options = options;
    options.workload.onEnded((ended) => this.#judge(ended));
  }

  begin(): void {
    this.end();
    this.#timer = setTimeout(() => this.#pass(), this.#options.probationMs);
  }

  /** Our own init never ends by itself: where it runs there is nothing to wait for. */
  passFallback(): void {
    if (this.#options.workload.runtime === "fallback-init") this.#pass();
  }

  /** Without a verdict: the tree is not the live one any more, or the machine stops. Returns whether it was under way. */
  end(): boolean {
    const wasUnderWay = this.#timer !== undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    return wasUnderWay;
  }

  #pass(): void {
    if (this.#timer === undefined) return;
    this.end();
    this.#options.onProven();
  }

  #judge({ how, reboot }: UnwishedEnd): void {
    if (this.#timer === undefined) return;
    if (reboot) {
      this.begin();
      return;
    }
    this.end();
    this.#options.onFailed(how);
  }
}
