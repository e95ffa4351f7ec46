import { ProtocolError } from "../../protocol/errors.ts";
import type { FileMessage } from "../../protocol/file-message.ts";
import { copyLimits } from "./copy-limits.ts";

/**
 * What is to be said to the side that sends. Reading does not wait for it to go out, so one that announces what
 * is refused, and never takes an answer, must find an end.
 */
export class AnswerQueue {
  readonly #messages: FileMessage[] = [];

  /** Throws `ProtocolError`. */
  push(message: FileMessage): void {
    if (this.#messages.length >= copyLimits.answersWaitingMax)
      throw new ProtocolError("More is announced than answers are taken");
    this.#messages.push(message);
  }

  shift(): FileMessage | undefined {
    return this.#messages.shift();
  }
}
