import { quicLimits } from "./limits.ts";

/** The numbers of "are you there" in both directions: each is replied to once, and an old one never. */
export class Questions {
  #asked = 0n;
  #answered = 0n;
  #heard = 0n;
  #heardElsewhere = 0n;
  #heardMs = Number.NEGATIVE_INFINITY;

  /** Whether the peer has ever asked or replied: before, silence may only mean that it does not know how. */
  get peerKnows(): boolean {
    return this.#heard > 0n || this.#answered > 0n;
  }

  /** How many we have sent. */
  get asked(): number {
    return Number(this.#asked);
  }

  /** The number of our next question. */
  next(): bigint {
    return ++this.#asked;
  }

  /**
   * The peer asks, by an address that is not its own, or not yet: once, or copies of one question could call it
   * from anywhere. True when that is news.
   */
  noteElsewhere(question: bigint): boolean {
    if (question <= this.#heard || question <= this.#heardElsewhere) return false;
    this.#heardElsewhere = question;
    return true;
  }

  /** The peer asks. True when it is to get a reply. */
  noteQuestion(question: bigint, nowMs: number): boolean {
    if (question <= this.#heard) return false;
    this.#heard = question;
    if (nowMs - this.#heardMs < quicLimits.replyEveryMs) return false;
    this.#heardMs = nowMs;
    return true;
  }

  /** The peer replies. True when that is news. */
  noteReply(question: bigint): boolean {
    if (question <= this.#answered || question > this.#asked) return false;
    this.#answered = question;
    return true;
  }
}
