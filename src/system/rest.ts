import { trimNativeHeap } from "./native-heap.ts";
import { dropProgramPages } from "./program-pages.ts";

export interface RestOptions {
  readonly afterMs: number;
  /** From the start and at the first request after a rest. */
  readonly onWork?: () => void;
  readonly onRest?: () => void;
}

/**
 * Tells work from rest, for a process that waits most of its life: it works while a request is open and a
 * while after the last. Then it gives back what only work needs.
 */
export class Rest {
  readonly #options: RestOptions;
  #requests = 0;
  #rests = true;
  #isClosed = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: RestOptions) {
    this.#options = options;
    // Its start is work, and what was asked of the one before it may be under way.
    this.request()();
  }

  /** A request came; what is returned is called once, when it is over. */
  request(): () => void {
    this.#requests += 1;
    clearTimeout(this.#timer);
    if (this.#rests && !this.#isClosed) this.#options.onWork?.();
    this.#rests = false;
    return () => {
      this.#requests -= 1;
      if (this.#requests === 0) this.#restLater();
    };
  }

  /** Nothing is told any more, whatever is still open. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  #restLater(): void {
    clearTimeout(this.#timer);
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => this.#rest(), this.#options.afterMs);
    this.#timer.unref();
  }

  #rest(): void {
    this.#rests = true;
    this.#options.onRest?.();
    // What was compiled, and garbage.
    Bun.shrink();
    trimNativeHeap();
    dropProgramPages();
  }
}
