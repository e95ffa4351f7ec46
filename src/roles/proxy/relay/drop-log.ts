import type { Log, LogFields } from "../../../system/log.ts";

/** Lines about what was lost: one a cause and call, with how much it was since the last. Call it once a second. */
export class DropLog {
  readonly #log: Log;
  readonly #before = new Map<string, number>();
  #mistake: LogFields | undefined;

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
    if (this.#mistake !== undefined) this.#log("error", "mistake", this.#mistake);
    this.#mistake = undefined;
  }

  /** The first of each call is told. */
  mistake(error: unknown): void {
    this.#mistake ??= Error.isError(error)
      ? { because: error.message, stack: error.stack }
      : { because: "something that is no error was thrown" };
  }
}
