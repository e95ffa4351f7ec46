import { limits } from "../../protocol/limits.ts";
import { initLimits } from "./limits.ts";

/** The last lines of our own log, for whoever asks the machine why it is not well. */
export class RecentLog {
  readonly #lines: string[] = [];

  add(line: string): void {
    this.#lines.push(line.trimEnd().slice(0, initLimits.recentLogCharsMax).toWellFormed());
    if (this.#lines.length > limits.logLinesMax) this.#lines.shift();
  }

  /** The oldest first. */
  last(count: number): string[] {
    return count === 0 ? [] : this.#lines.slice(-count);
  }
}
