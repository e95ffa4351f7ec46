import { Rest } from "../../../system/rest.ts";
import { clientLimits } from "../limits.ts";

/** What is looked at by itself: a link, whether it is lost. */
export interface Watched {
  lookEvery(everyMs: number): void;
}

/**
 * What a background link looks at again and again, at itself and at the way to its machine: often while
 * commands use it, seldom while none does. It stays for minutes on laptops that run on a battery.
 */
export class LinkLooks {
  readonly #look: () => void;
  readonly #rest: Rest;
  #watched: Watched | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(look: () => void, restAfterMs: number = clientLimits.linkRestAfterMs) {
    this.#look = look;
    this.#rest = new Rest({
      afterMs: restAfterMs,
      onWork: () => this.#lookEvery(clientLimits.linkLookMs, clientLimits.watchEveryMs),
      onRest: () => this.#lookEvery(clientLimits.restLookMs, clientLimits.restLookMs),
    });
  }

  /** A command, or a stream of one; what is returned is called when it is over. */
  request(): () => void {
    return this.#rest.request();
  }

  /** The link as well, once it is there. */
  follow(watched: Watched): void {
    this.#watched = watched;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#rest.close();
  }

  #lookEvery(ownMs: number, watchedMs: number): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(this.#look, ownMs);
    this.#watched?.lookEvery(watchedMs);
  }
}
