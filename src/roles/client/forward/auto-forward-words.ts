import type { Context } from "../../../cli/context.ts";
import type { ListeningPort } from "../../../protocol/ports-message.ts";
import { printableLine } from "../../../protocol/printable-line.ts";
import { arrowFor } from "./forward-words.ts";

/** What people are told of ports that show up by themselves. */
export class AutoForwardWords {
  readonly #arrow: string;
  /** How keys are written; undefined where there are none. */
  escape: string | undefined;

  constructor(env: Context["env"]) {
    this.#arrow = arrowFor(env);
  }

  /** `why` it is another port here than there, if it is. */
  forwarded(port: ListeningPort, local: number, why: string | undefined): string {
    const other = why === undefined ? "" : ` (${why})`;
    return `${named(port)} ${this.#arrow} localhost:${local}${other}`;
  }

  /** The same when it has just begun. */
  begun(port: ListeningPort, local: number, why: string | undefined): string {
    return this.#withKeys(this.forwarded(port, local, why), `${this.escape}p ${port.port} off`);
  }

  heard(port: ListeningPort): string {
    const keys = `${this.escape}p ${port.port} forwards it`;
    return this.#withKeys(`${named(port)} listens in the vault`, keys);
  }

  notForwarded(port: ListeningPort): string {
    return `${named(port)} is not forwarded`;
  }

  explicit(port: ListeningPort): string {
    return `${named(port)} has a forward of its own`;
  }

  failed(port: ListeningPort, because: string): string {
    return `${named(port)} cannot be forwarded: ${because}`;
  }

  #withKeys(words: string, keys: string): string {
    const dot = this.#arrow === "->" ? "," : " ·";
    return this.escape === undefined ? words : `${words}   [${this.escape}P list${dot} ${keys}]`;
  }
}

function named({ port, process }: ListeningPort): string {
  return `port ${port} (${printableLine(process, processBytesMax)})`;
}

const processBytesMax = 32;
