import { counted } from "../../cli/counted.ts";
import { formatDuration } from "../../cli/duration.ts";
import type { Fault } from "./rollout-call.ts";
import { rolloutLimits } from "./rollout-limits.ts";

/** `cut`: it goes on although nobody knows that all are gone. */
export type DrainVerdict =
  | { readonly kind: "wait" | "over"; readonly pauseMs: number }
  | {
      readonly kind: "cut";
      readonly pauseMs: 0;
      readonly sessions: number | undefined;
      readonly reason: string;
    };

/** Waits until nobody is at work in a machine, and no longer than was said. Once over, it stays so. */
export class Drain {
  readonly #drainMs: number;
  #deadlineMs: number | undefined;
  #over: boolean;
  /** One after the other. */
  #misses = 0;

  constructor(drainMs: number) {
    this.#drainMs = drainMs;
    this.#over = drainMs === 0;
  }

  /** Whether the update would end sessions, as far as is known; the time runs from the first call. */
  isDue({ on, runs }: { readonly on: string; readonly runs: boolean }, nowMs: number): boolean {
    this.#deadlineMs ??= nowMs + this.#drainMs;
    return runs && on === "old" && !this.#over;
  }

  see(open: number, nowMs: number): DrainVerdict {
    this.#misses = 0;
    if (open > 0 && this.#leftMs(nowMs) > 0) return this.#wait(nowMs);
    this.#over = true;
    if (open === 0) return { kind: "over", pauseMs: 0 };
    const reason = `goes on with ${counted(open, "open session")} after ${formatDuration(this.#drainMs)}`;
    return { kind: "cut", pauseMs: 0, sessions: open, reason };
  }

  /**
   * It did not say. What passes by itself is waited for, but not for ever: where the image lacks the
   * command, that may be told as a fault of Fly's.
   */
  missed({ kind, words }: Fault, nowMs: number): DrainVerdict {
    const passes = ["unreachable", "lost", "rate-limited", "unavailable"].includes(kind);
    const bearable = ++this.#misses < rolloutLimits.attemptsMax;
    if (passes && bearable && this.#leftMs(nowMs) > 0) return this.#wait(nowMs);
    this.#over = true;
    const reason = `goes on without knowing of its sessions: ${words}`;
    return { kind: "cut", pauseMs: 0, sessions: undefined, reason };
  }

  #wait(nowMs: number): DrainVerdict {
    return { kind: "wait", pauseMs: Math.min(this.#leftMs(nowMs), rolloutLimits.drainPollMs) };
  }

  #leftMs(nowMs: number): number {
    return (this.#deadlineMs ?? nowMs) - nowMs;
  }
}
