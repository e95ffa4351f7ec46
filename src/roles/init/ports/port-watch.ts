import { RemoteError } from "../../../protocol/errors.ts";
import { initLimits } from "../limits.ts";
import type { GuestSocket } from "./guest-ports.ts";

export type PortListener = (sockets: readonly GuestSocket[]) => void;

/** Looks again and again while somebody watches, and never otherwise. */
export class PortWatch {
  readonly #look: () => Promise<readonly GuestSocket[]>;
  readonly #listeners = new Set<PortListener>();
  #last: readonly GuestSocket[] | undefined;
  #looking = false;

  constructor(look: () => Promise<readonly GuestSocket[]>) {
    this.#look = look;
  }

  /** Tells what there is as soon as it is known, and each change, until what is returned is called. Throws `RemoteError`. */
  watch(listener: PortListener): () => void {
    if (this.#listeners.size >= initLimits.portWatchersMax)
      throw new RemoteError(
        "limit",
        `${initLimits.portWatchersMax} clients watch the ports already`,
      );
    this.#listeners.add(listener);
    if (this.#last !== undefined) listener(this.#last);
    if (!this.#looking) void this.#run();
    return () => void this.#listeners.delete(listener);
  }

  async #run(): Promise<void> {
    this.#looking = true;
    while (this.#listeners.size > 0) {
      const sockets = await this.#look();
      const isNew = JSON.stringify(sockets) !== JSON.stringify(this.#last);
      this.#last = sockets;
      if (isNew) for (const listener of this.#listeners) listener(sockets);
      await Bun.sleep(initLimits.portLookMs);
    }
    this.#last = undefined;
    this.#looking = false;
  }
}
