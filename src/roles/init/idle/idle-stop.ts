import { statSync } from "node:fs";
import { formatDuration } from "../../../cli/duration.ts";
import type { Report } from "../../../protocol/message.ts";
import type { Log } from "../../../system/log.ts";
import { initLimits } from "../limits.ts";
import type { SessionTable } from "../session-table.ts";
import { IdleTimer } from "./idle-timer.ts";

export interface IdleParts {
  readonly sessions: Pick<SessionTable, "running" | "usedMs">;
  readonly isProvisioning: () => boolean;
  readonly trafficFile: string;
  readonly powerOff: () => void;
  readonly monotonicMs: () => number;
  readonly log: Log;
}

/** Switches the machine off when nobody has used it for so long. What counts as use is in docs/workload.md. */
export class IdleStop {
  readonly #parts: IdleParts;
  readonly #timer: IdleTimer;
  #looking: ReturnType<typeof setInterval> | undefined;
  #trafficMs: number | undefined;

  constructor(stopAfterMs: number, parts: IdleParts) {
    this.#parts = parts;
    this.#timer = new IdleTimer(stopAfterMs, initLimits.idleWarnMs, parts.monotonicMs());
  }

  /** From now on it counts. */
  start(): void {
    this.#timer.active(this.#parts.monotonicMs());
    this.#looking = setInterval(() => this.#look(), initLimits.idleLookMs);
    this.#looking.unref();
  }

  get report(): NonNullable<Report["idle"]> {
    this.#takeNote();
    const idleMs = this.#timer.idleMs(this.#parts.monotonicMs());
    return { stop_after_ms: this.#timer.stopAfterMs, idle_ms: Math.round(idleMs) };
  }

  #look(): void {
    this.#takeNote();
    const { monotonicMs, powerOff, log } = this.#parts;
    const step = this.#timer.step(monotonicMs());
    if (step.kind === "warn") this.#warn(step.stopInMs);
    if (step.kind !== "stop") return;
    log("info", "idle-stop", { idle_ms: this.report.idle_ms });
    clearInterval(this.#looking);
    powerOff();
  }

  #takeNote(): void {
    const { sessions, isProvisioning, monotonicMs } = this.#parts;
    this.#timer.active(sessions.usedMs);
    const isBusy =
      sessions.running.some((session) => !session.isAtPrompt) ||
      isProvisioning() ||
      this.#hadTraffic();
    if (isBusy) this.#timer.active(monotonicMs());
  }

  #hadTraffic(): boolean {
    const { mtimeMs } = statSync(this.#parts.trafficFile, { throwIfNoEntry: false }) ?? {};
    const isNew = mtimeMs !== undefined && mtimeMs !== this.#trafficMs;
    this.#trafficMs = mtimeMs;
    return isNew;
  }

  /** Nobody but who sits before a prompt can be there. */
  #warn(stopInMs: number): void {
    this.#parts.log("info", "idle-warning", { stop_in_ms: Math.round(stopInMs) });
    const words = `nobody does anything here: this machine stops in ${formatDuration(stopInMs)}; any key keeps it up`;
    for (const session of this.#parts.sessions.running)
      if (session.attached) session.program.show(`\r\n\u0007${words}\r\n`);
  }
}
