import { DarkWatch } from "./dark-watch.ts";
import { countedNumber, countOf } from "./loose-talk.ts";
import { Questions } from "./questions.ts";

export interface DarkLineActs {
  /** Sends a question with this number. */
  readonly ask: (number: Uint8Array) => void;
  /** The peer is there: what is unanswered goes out now, or where no probe was due yet something to acknowledge. */
  readonly proceed: () => void;
}

/** What an end does on a line where nothing comes back: it asks until it hears something, and sends nothing else. */
export class DarkLine {
  readonly #acts: DarkLineActs;
  readonly #watch: DarkWatch;
  readonly #questions = new Questions();

  constructor(side: "client" | "server", acts: DarkLineActs) {
    this.#acts = acts;
    this.#watch = new DarkWatch(side);
  }

  /**
   * Packets are to wait. A probe of quiche that is due waits in it until it is sent, without regard to the
   * congestion window; its timer may wait twice as long each time.
   */
  get holds(): boolean {
    return this.#watch.isDark && this.#questions.peerKnows;
  }

  get dueMs(): number {
    return this.#watch.dueMs;
  }

  /** Questions so far. */
  get asked(): number {
    return this.#questions.asked;
  }

  /** Whether anything of ours seems unanswered, and when something was last heard. */
  note(awaits: boolean, heardMs: number, nowMs: number): void {
    this.#watch.note(awaits, heardMs, nowMs);
  }

  handleTimeout(nowMs: number, rttMs: () => number): void {
    if (nowMs >= this.dueMs && this.#watch.ring(nowMs, rttMs())) this.ask();
  }

  ask(): void {
    this.#acts.ask(countedNumber(this.#questions.next()));
  }

  /** A packet was heard. */
  noteHeard(nowMs: number): void {
    if (this.#watch.isDark) this.letGo(nowMs);
    else if (this.#watch.isOwed) {
      // It need not acknowledge what was let go: what we send now draws one that does, or shows the loss.
      this.#watch.end();
      this.#acts.proceed();
    }
  }

  /** The peer asks. True when it is to get a reply. */
  noteQuestion(number: Uint8Array, nowMs: number): boolean {
    return this.#questions.noteQuestion(countOf(number), nowMs);
  }

  /** The peer asks from elsewhere. True when that is news. */
  noteElsewhere(number: Uint8Array): boolean {
    return this.#questions.noteElsewhere(countOf(number));
  }

  noteReply(number: Uint8Array, nowMs: number): void {
    if (this.#questions.noteReply(countOf(number))) this.letGo(nowMs);
  }

  letGo(nowMs: number): void {
    if (!this.#watch.awaits) return;
    this.#watch.letGo(nowMs);
    this.#acts.proceed();
  }
}
