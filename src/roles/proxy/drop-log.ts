import type { Log } from "../../system/log.ts";

/** Lines about what was lost: one a cause and call, with how much it was since the last. Call it once a second. */
export class DropLog {
  readonly #log: Log;
  readonly #before = new Map<string, number>();
  #mistake: unknown;

  constructor(log: Log) {
    this.#log = log;
  }

  write(drops: Readonly<Record<string, number>>): void {
    for (const [cause, total] of Object.entries(drops)) {
      const datagrams = total - (this.#before.get(cause) ?? 0);
      if (datagrams === 0) continue;
      this.#before.set(cause, total);
      this.#log("info", "dropped", { cause, datagrams });
    }
    if (this.#mistake === undefined) return;
    const { message, stack } = Error.isError(this.#mistake)
      ? this.#mistake
      : { message: String(this.#mistake), stack: undefined };
    this.#log("error", "mistake", { message, stack });
    this.#mistake = undefined;
  }

  /** The first of each call is told. */
  mistake(error: unknown): void {
    this.#mistake ??= error;
  }
}
