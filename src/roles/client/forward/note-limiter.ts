import { counted } from "../../../cli/counted.ts";
import { clientLimits } from "../limits.ts";

/** Says the same line no more than once in a while: a page that loads asks for a dead port twenty times. */
export class NoteLimiter {
  readonly #say: (line: string) => void;
  readonly #monotonicMs: () => number;
  readonly #said = new Map<string, { readonly atMs: number; more: number }>();

  constructor(say: (line: string) => void, monotonicMs: () => number = () => performance.now()) {
    this.#say = say;
    this.#monotonicMs = monotonicMs;
  }

  note(line: string): void {
    const nowMs = this.#monotonicMs();
    const last = this.#said.get(line);
    if (last !== undefined && nowMs - last.atMs < clientLimits.noteEveryMs) {
      last.more += 1;
      return;
    }
    this.#said.delete(line);
    const [oldest] = this.#said.keys();
    if (this.#said.size >= clientLimits.notesMax && oldest !== undefined) this.#said.delete(oldest);
    this.#said.set(line, { atMs: nowMs, more: 0 });
    const more =
      last === undefined || last.more === 0 ? "" : ` (and ${counted(last.more, "time")} since)`;
    this.#say(`${line}${more}`);
  }
}
