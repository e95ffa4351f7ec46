import type { MachineView } from "./rollout-call.ts";
import { rolloutLimits } from "./rollout-limits.ts";
import type { PlanRecord } from "./rollout-record.ts";

export type Verdict =
  | { readonly kind: "wait"; readonly pauseMs: number }
  | { readonly kind: "passed" }
  | { readonly kind: "failed"; readonly reason: string };

/**
 * The gates of one machine after an update: it runs in its new version, its checks are good and init
 * shakes hands, and all that stays so for the soak. Fed with what was seen; says when to look again.
 */
export class GateWatch {
  step: "start" | "health" | "handshake" | "soak" = "start";
  readonly #options: PlanRecord["options"];
  readonly #version: string;
  #deadlineMs: number;
  #pauseMs: number = rolloutLimits.pollMsFirst;
  #exitedAtMs = 0;

  constructor(options: PlanRecord["options"], version: string, nowMs: number) {
    this.#options = options;
    this.#version = version;
    this.#deadlineMs = nowMs + options.startMs;
  }

  /** How long init may take to answer: whole milliseconds, whatever the clock counts in. */
  handshakeMs(nowMs: number): number {
    const leftMs = Math.ceil(this.#deadlineMs - nowMs);
    return Math.max(1, Math.min(leftMs, rolloutLimits.handshakeMs));
  }

  see(view: MachineView, nowMs: number): Verdict {
    // Another version is an answer from before, until the time is over.
    const isStale = this.step === "start" && view.version !== this.#version;
    const hasFailed = view.state === "failed" || view.state === "launch_failed";
    if (view.state === "destroyed" || (hasFailed && !isStale))
      return failed(`the machine is ${view.state}`);
    if (this.step === "soak") return this.#soak(view, nowMs);
    if (this.step === "start") {
      if (view.state !== "started" || isStale) return this.missed(`it is ${view.state}`, nowMs);
      this.#enter("health", nowMs + this.#options.healthMs);
    }
    return this.#health(view, nowMs);
  }

  shookHands(nowMs: number): Verdict {
    this.#enter("soak", nowMs + this.#options.soakMs);
    return this.#options.soakMs === 0 ? { kind: "passed" } : again();
  }

  /** What it was that did not come, if the time is over now. */
  missed(words: string, nowMs: number): Verdict {
    // The soak ends with a good look, so that one which fails must be made up for.
    const graceMs = this.step === "soak" ? this.#options.healthMs : 0;
    if (nowMs >= this.#deadlineMs + graceMs) return failed(`${limitWords[this.step]}: ${words}`);
    if (this.step === "handshake") this.step = "health";
    const leftMs = this.#deadlineMs + graceMs - nowMs;
    const pauseMs = Math.min(this.#pauseMs, leftMs);
    this.#pauseMs = Math.min(this.#pauseMs * 2, rolloutLimits.pollMs);
    return { kind: "wait", pauseMs };
  }

  #health(view: MachineView, nowMs: number): Verdict {
    if (view.state !== "started") return this.missed(`it is ${view.state}`, nowMs);
    if (view.badChecks.length > 0) return this.missed(view.badChecks.join(", "), nowMs);
    this.#exitedAtMs = view.exitedAtMs;
    if (!this.#options.handshake) return this.shookHands(nowMs);
    this.step = "handshake";
    return again();
  }

  #soak(view: MachineView, nowMs: number): Verdict {
    if (view.state !== "started") return failed(`it did not last: it is ${view.state}`);
    if (view.exitedAtMs > this.#exitedAtMs)
      return failed("it did not last: it ended and restarted");
    if (view.version !== this.#version) return failed("it did not last: it is of another version");
    if (view.badChecks.length > 0) return failed(`it did not last: ${view.badChecks.join(", ")}`);
    if (nowMs >= this.#deadlineMs) return { kind: "passed" };
    const leftMs = this.#deadlineMs - nowMs;
    return { kind: "wait", pauseMs: Math.min(leftMs, rolloutLimits.pollMs) };
  }

  #enter(step: "health" | "soak", deadlineMs: number): void {
    this.step = step;
    this.#deadlineMs = deadlineMs;
    this.#pauseMs = rolloutLimits.pollMsFirst;
  }
}

function again(): Verdict {
  return { kind: "wait", pauseMs: 0 };
}

function failed(reason: string): Verdict {
  return { kind: "failed", reason };
}

const limitWords = {
  start: "did not start in time",
  health: "did not become healthy in time",
  handshake: "did not shake hands in time",
  soak: "could not be watched",
} as const;
