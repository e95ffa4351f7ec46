import { quicLimits } from "./limits.ts";

/**
 * Whether the line is dark: something of ours is unanswered, and nothing was heard for a while. While it
 * is, the peer is asked whether it is there, at distances that grow with the silence, so that what the
 * asking adds to an outage is a small share of it.
 */
export class DarkWatch {
  readonly #share: number;
  readonly #everyMsMin: number;
  #silentFromMs: number | undefined;
  #notBeforeMs = 0;
  #isDark = false;
  #isOwed = false;
  #dueMs = Number.POSITIVE_INFINITY;

  constructor(side: "client" | "server") {
    this.#share = side === "client" ? quicLimits.clientAsksShare : quicLimits.machineAsksShare;
    this.#everyMsMin = side === "client" ? quicLimits.clientAsksMs : quicLimits.machineAsksMs;
  }

  /** Something of ours is unanswered. */
  get awaits(): boolean {
    return this.#silentFromMs !== undefined;
  }

  get isDark(): boolean {
    return this.#isDark;
  }

  /** When `ring` is to be called; infinity while nothing is awaited. */
  get dueMs(): number {
    return this.#dueMs;
  }

  /** What the last words let go is still unanswered. */
  get isOwed(): boolean {
    return this.#isOwed;
  }

  /** Whether anything of ours seems unanswered now, and when something was last heard. */
  note(awaits: boolean, heardMs: number, nowMs: number): void {
    if (this.#isDark) return;
    if (!awaits && !this.#isOwed) {
      this.end();
      return;
    }
    this.#silentFromMs = Math.max(this.#silentFromMs ?? nowMs, heardMs);
    this.#dueMs = Math.max(this.#silentFromMs + quicLimits.darkMs, this.#notBeforeMs);
  }

  /** It is time. True when a question is to be asked. */
  ring(nowMs: number, rttMs: number): boolean {
    const silentMs = nowMs - (this.#silentFromMs ?? nowMs);
    if (!this.#isDark && silentMs < darkRoundTrips * rttMs) {
      this.#notBeforeMs = nowMs + darkRoundTrips * rttMs - silentMs;
      this.#dueMs = this.#notBeforeMs;
      return false;
    }
    this.#isDark = true;
    const everyMs = Math.max(this.#everyMsMin, silentMs / this.#share);
    this.#dueMs = nowMs + Math.min(everyMs, quicLimits.asksMsMax);
    return true;
  }

  /**
   * The peer is there, and what waited goes out now. That may be lost as well, and quiche's own timer may lie
   * beyond the idle time by then: it stays awaited until `end`.
   */
  letGo(nowMs: number): void {
    this.end();
    this.note(true, nowMs, nowMs);
    this.#isOwed = true;
  }

  /** A packet was heard after what was let go, or nothing is awaited any more. */
  end(): void {
    this.#isDark = false;
    this.#isOwed = false;
    this.#silentFromMs = undefined;
    this.#notBeforeMs = 0;
    this.#dueMs = Number.POSITIVE_INFINITY;
  }
}

/** As long as three round trips silence is nothing: a first probe of quiche may be lost as well. */
const darkRoundTrips = 3;
