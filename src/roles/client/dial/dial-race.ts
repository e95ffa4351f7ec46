import type { ClientGateOptions } from "../../../quic/admission-gate.ts";
import type { AdmissionHint } from "../../../quic/admission-hint.ts";
import { within } from "../../../system/within.ts";
import { attempt, type Dialled, type DialTarget, TooLate } from "./dial-attempt.ts";
import type { DialRoute } from "./dial-route.ts";
import type { Transport } from "./transport.ts";

/** In milliseconds; `clientLimits` has their reasons. */
export interface DialTiming {
  readonly dialMs: number;
  readonly dialStaggerMs: number;
  readonly startingMoreMs: number;
  readonly startingAgainMs: number;
  readonly startingAttemptMs: number;
  readonly verdictMs: number;
}

export interface DialRaceOptions {
  readonly first: DialRoute;
  /** Begun after its time unless the first was answered; at once where that failed. */
  readonly second: { readonly route: DialRoute; readonly afterMs: number } | undefined;
  /** What comes over TCP waits so long, from the start, for UDP. */
  readonly patienceMs: number;
  readonly admission: ClientGateOptions | undefined;
  readonly timing: DialTiming;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

/**
 * Tries everything that may lead to the vault until something does: each address gets a head start
 * over the next, each is asked again on a schedule, and each transport over the other. A machine that
 * is being started is waited for as long as its proxy says so. The first finished handshake wins.
 */
export class DialRace {
  /** Of attempts that came to nothing. */
  readonly errors: unknown[] = [];
  /** All that were tried. */
  readonly places = new Map<string, Transport>();
  /** Those over which anything came back. */
  readonly answered = new Set<Transport>();
  /** What the proxy said last, of the machine and not of the clock. */
  told: AdmissionHint | undefined;
  readonly #options: DialRaceOptions;
  readonly #timing: DialTiming;
  /** No attempt lives longer; the race ends them itself. */
  readonly #wholeMs: number;
  readonly #startedMs: number;
  readonly #over = new AbortController();
  readonly #result = Promise.withResolvers<Dialled | null>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  /** Attempts under way or to come, of each route. */
  readonly #pending = new Map<DialRoute, number>();
  readonly #underWay = new Map<DialRoute, number>();
  #isSecondStarted = false;
  #isOver = false;
  #limit: ReturnType<typeof setTimeout> | undefined;
  #limitAtMs = 0;
  /** Over TCP, while UDP still has its time. */
  #waiting: Dialled | undefined;
  #clockAheadMs = 0;
  readonly #restarting = new Set<DialTarget>();

  constructor(options: DialRaceOptions) {
    this.#options = options;
    this.#timing = options.timing;
    this.#wholeMs = options.timing.dialMs + options.timing.startingMoreMs;
    this.#startedMs = options.nowMs();
  }

  get elapsedMs(): number {
    return this.#options.nowMs() - this.#startedMs;
  }

  /** Null when nothing led there; `errors` and `told` say why. Rejects with a route's `Failure`. */
  async run(): Promise<Dialled | null> {
    const { first, second } = this.#options;
    this.#limitTo(this.#startedMs + this.#timing.dialMs);
    this.#start(first);
    if (second !== undefined) {
      this.#expect(second.route, 1);
      // Side by side from the start is no question of who answers first.
      if (second.afterMs === 0) this.#startSecond();
      else this.#after(second.afterMs, () => this.#startSecond());
    }
    try {
      return await this.#result.promise;
    } finally {
      this.#over.abort(new TooLate("The race is over"));
      clearTimeout(this.#limit);
      for (const timer of this.#timers) clearTimeout(timer);
    }
  }

  #start(route: DialRoute): void {
    this.#expect(route, 1);
    route
      .targets()
      .then((targets) => this.#schedule(route, targets))
      .catch((error: unknown) => this.errors.push(error))
      .finally(() => this.#expect(route, -1));
  }

  /** Once, if at all. */
  #startSecond(): void {
    const { first, second } = this.#options;
    if (second === undefined || this.#isSecondStarted) return;
    this.#isSecondStarted = true;
    if (!this.answered.has(first.transport)) this.#start(second.route);
    this.#expect(second.route, -1);
  }

  #schedule(route: DialRoute, targets: readonly DialTarget[]): void {
    let before: Promise<unknown> | undefined;
    for (const target of targets) {
      const started = headStart(before, this.#timing.dialStaggerMs);
      this.#expect(route, 1);
      before = started.then(() => this.#attempt(route, target, this.#wholeMs));
      before.finally(() => this.#expect(route, -1)).catch(() => undefined);
    }
    for (const againMs of route.againMs)
      for (const target of targets)
        this.#later(route, againMs, async () => {
          if (!route.isPatient || this.#attemptsOf(route) === 0)
            await this.#attempt(route, target, this.#wholeMs);
        });
  }

  #later(route: DialRoute, afterMs: number, begin: () => Promise<void>): void {
    this.#expect(route, 1);
    this.#after(afterMs, () => void begin().finally(() => this.#expect(route, -1)));
  }

  /** Never rejects; resolves when the attempt has failed or won. */
  async #attempt(route: DialRoute, target: DialTarget, timeoutMs: number): Promise<void> {
    this.places.set(target.where, target.transport);
    this.#underWay.set(route, this.#attemptsOf(route) + 1);
    try {
      const dialled = await attempt(target, {
        admission: this.#admission(route, target),
        timeoutMs,
        over: this.#over.signal,
        onReply: () => this.answered.add(target.transport),
      });
      await this.#offer(dialled);
    } catch (error) {
      if (!(error instanceof TooLate)) this.errors.push(error);
    } finally {
      this.#underWay.set(route, this.#attemptsOf(route) - 1);
    }
    if (route === this.#options.first && this.#attemptsOf(route) === 0 && !this.#isOver)
      this.#startSecond();
  }

  #attemptsOf(route: DialRoute): number {
    return this.#underWay.get(route) ?? 0;
  }

  #admission(route: DialRoute, target: DialTarget): ClientGateOptions | undefined {
    const { admission } = this.#options;
    if (admission === undefined) return undefined;
    const aheadMs = this.#clockAheadMs;
    return {
      ...admission,
      wallMs: () => admission.wallMs() + aheadMs,
      onHint: (hint) => this.#receiveHint(hint, route, target),
    };
  }

  #receiveHint(hint: AdmissionHint, route: DialRoute, target: DialTarget): void {
    const { admission, nowMs } = this.#options;
    if (this.#isOver || admission === undefined) return;
    admission.onHint?.(hint);
    if (hint.state === "clock") {
      // The attempt itself has learnt it; the others would only find out a second later.
      if (this.#clockAheadMs !== 0) return;
      this.#clockAheadMs = hint.timeS * 1000 - admission.wallMs();
      this.#later(route, 0, () => this.#attempt(route, target, this.#wholeMs));
      return;
    }
    this.told = hint;
    if (hint.state === "starting" || hint.state === "resuming") {
      this.#limitTo(
        Math.min(
          this.#startedMs + this.#wholeMs,
          Math.max(this.#limitAtMs, nowMs() + this.#timing.dialMs),
        ),
      );
      this.#askAgain(route, target);
    } else if (verdicts.has(hint.state)) {
      this.#limitTo(Math.min(this.#limitAtMs, nowMs() + this.#timing.verdictMs));
    }
  }

  /** The proxy keeps first datagrams for a while only, and QUIC repeats them ever more seldom. */
  #askAgain(route: DialRoute, target: DialTarget): void {
    if (this.#restarting.has(target)) return;
    this.#restarting.add(target);
    this.#after(this.#timing.startingAgainMs, () => {
      this.#restarting.delete(target);
      const timeoutMs = this.#timing.startingAttemptMs;
      this.#later(route, 0, () => this.#attempt(route, target, timeoutMs));
    });
  }

  async #offer(dialled: Dialled): Promise<void> {
    const leftMs = this.#options.patienceMs - this.elapsedMs;
    if (this.#isOver || (this.#waiting !== undefined && dialled.transport === "tcp")) {
      await dialled.endpoint.close();
    } else if (dialled.transport === "quic" || leftMs <= 0) {
      this.#finish(dialled);
    } else {
      this.#waiting = dialled;
      this.#after(leftMs, () => this.#finish(dialled));
    }
  }

  #finish(dialled: Dialled | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const winner = dialled ?? this.#waiting ?? null;
    if (this.#waiting !== winner) void this.#waiting?.endpoint.close();
    this.#result.resolve(winner);
  }

  #limitTo(atMs: number): void {
    this.#limitAtMs = atMs;
    clearTimeout(this.#limit);
    this.#limit = setTimeout(() => this.#finish(null), Math.max(0, atMs - this.#options.nowMs()));
  }

  #after(delayMs: number, action: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, delayMs);
    this.#timers.add(timer);
  }

  /** Nothing left to wait for: the other route, or the end. */
  #expect(route: DialRoute, change: 1 | -1): void {
    const { first, second } = this.#options;
    this.#pending.set(route, (this.#pending.get(route) ?? 0) + change);
    if (this.#isOver || this.#pending.get(route) !== 0) return;
    if (route === first) this.#startSecond();
    const left = [first, ...(second === undefined ? [] : [second.route])];
    if (left.every((one) => (this.#pending.get(one) ?? 0) === 0)) this.#finish(null);
  }
}

async function headStart(before: Promise<unknown> | undefined, byMs: number): Promise<void> {
  if (before !== undefined) await within(before, byMs);
}

/** What a client can do nothing about; something better may still be on its way. */
const verdicts: ReadonlySet<string> = new Set(["failed", "resting", "unknown-machine"]);
