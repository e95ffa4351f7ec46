import { brokerLimits } from "./broker-limits.ts";

/**
 * How long to wait before a process that ended is started again: hardly at all the first time, longer
 * each time it does not last, and never more often than so many times a minute.
 */
export class RestartPace {
  #pauseMs: number = brokerLimits.childRestartPauseMs;
  #restartsMs: number[] = [];

  /** `livedMs`: from its start to its end. */
  nextPause(livedMs: number, nowMs: number): number {
    if (livedMs >= brokerLimits.childHealthyMs) this.#pauseMs = brokerLimits.childRestartPauseMs;
    const pauseMs = Math.max(this.#pauseMs, this.#untilAllowed(nowMs));
    this.#pauseMs = Math.min(this.#pauseMs * 2, brokerLimits.childRestartPauseMsMax);
    this.#restartsMs.push(nowMs + pauseMs);
    return pauseMs;
  }

  #untilAllowed(nowMs: number): number {
    this.#restartsMs = this.#restartsMs.filter((timeMs) => timeMs > nowMs - minuteMs);
    const decidingMs = this.#restartsMs.at(-brokerLimits.childRestartsPerMinuteMax);
    return decidingMs === undefined ? 0 : decidingMs + minuteMs - nowMs;
  }
}

const minuteMs = 60_000;
