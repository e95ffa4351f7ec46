import { dropProgramPages } from "../../system/program-pages.ts";
import { initLimits } from "./limits.ts";

export interface RestOptions {
  readonly afterMs?: number;
  /** From the start and at the first request after a rest. */
  readonly onWork?: () => void;
  readonly onRest?: () => void;
}

/**
 * Tells work from rest, for keeper and link each: work goes on while a request is open, and a while after
 * the last, in which the keeper may still be at it: it waits for boots.
 */
export class Rest {
  readonly #options: RestOptions;
  #requests = 0;
  #rests = true;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: RestOptions = {}) {
    this.#options = options;
    // What was asked of the one before us may be under way.
    this.request()();
  }

  /** A request came; what is returned is called once, when it is over. */
  request(): () => void {
    this.#requests += 1;
    clearTimeout(this.#timer);
    if (this.#rests) this.#options.onWork?.();
    this.#rests = false;
    return () => {
      this.#requests -= 1;
      if (this.#requests === 0) this.#restLater();
    };
  }

  #restLater(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#rest(), this.#options.afterMs ?? initLimits.restAfterMs);
    this.#timer.unref();
  }

  #rest(): void {
    this.#rests = true;
    this.#options.onRest?.();
    // What was compiled, and garbage.
    Bun.shrink();
    dropProgramPages();
  }
}
