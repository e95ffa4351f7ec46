import { ProtocolError } from "./errors.ts";
import { limits } from "./limits.ts";

/**
 * What a client has shown of one output stream: drops what comes twice, refuses holes that no gap
 * explains, and says when an acknowledgement is due.
 */
export class OutputView {
  readonly #ackBytes: number;
  #shown: number;
  #acknowledged: number;

  constructor(shownOffset = 0, ackBytes: number = limits.outputAckBytes) {
    this.#shown = shownOffset;
    this.#acknowledged = shownOffset;
    this.#ackBytes = ackBytes;
  }

  /** A viewer that asked for the end of the output is shown nothing before it. Throws `ProtocolError` later on. */
  beginAt(offset: number): void {
    if (offset !== this.#shown && this.#shown > 0)
      throw new ProtocolError(`Output begins at ${offset}, but was shown to ${this.#shown}`);
    this.#shown = offset;
    this.#acknowledged = offset;
  }

  /** All before it is shown or known to be lost: the offset of the next attach. */
  get shownOffset(): number {
    return this.#shown;
  }

  /** The part of `bytes` to show, possibly empty. Throws `ProtocolError` for a hole. */
  receive(offset: number, bytes: Uint8Array): Uint8Array {
    if (offset > this.#shown)
      throw new ProtocolError(`Output jumps from ${this.#shown} to ${offset}`);
    const fresh = bytes.subarray(Math.min(bytes.length, this.#shown - offset));
    this.#shown += fresh.length;
    return fresh;
  }

  /** Number of lost bytes to tell of, 0 if they were shown before. Throws `ProtocolError` for a hole. */
  skip(from: number, to: number): number {
    if (from > this.#shown) throw new ProtocolError(`Gap jumps from ${this.#shown} to ${from}`);
    const lost = Math.max(0, to - this.#shown);
    this.#shown += lost;
    return lost;
  }

  /** The offset of the `output-ack` that is due now, if one is. Taking it counts as having sent it. */
  dueAck(): number | undefined {
    if (this.#shown - this.#acknowledged < this.#ackBytes) return undefined;
    this.#acknowledged = this.#shown;
    return this.#shown;
  }
}
