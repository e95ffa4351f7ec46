import { brokerLimits } from "./broker-limits.ts";

/** Whether a machine may be started now; `retryMs` is when to ask again. */
export type StartVerdict =
  | { readonly kind: "go" }
  | { readonly kind: "under-way" }
  /** `afterFailure`: the last start came to nothing. */
  | { readonly kind: "too-soon"; readonly retryMs: number; readonly afterFailure: boolean }
  /** Too many starts of all machines together. */
  | { readonly kind: "busy"; readonly retryMs: number }
  /** Too many starts of this machine: somebody must look after it. */
  | { readonly kind: "resting"; readonly retryMs: number };

/** How often machines are started, each and together. Whoever asks may be under somebody's control. */
export class StartPolicy {
  readonly #histories = new Map<string, History>();
  /** Of the last minute, oldest first. */
  #recentMs: number[] = [];
  #inFlight = 0;

  get inFlight(): number {
    return this.#inFlight;
  }

  /** A "go" is counted, and ends with `succeeded` or `failed`. */
  ask(machineId: string, nowMs: number): StartVerdict {
    const history = this.#histories.get(machineId) ?? newHistory();
    if (history.inFlight) return { kind: "under-way" };
    forgetBefore(history.startsMs, nowMs - dayMs);
    const verdict = machineVerdict(history, nowMs) ?? this.#overallVerdict(machineId, nowMs);
    if (verdict !== null) return verdict;
    history.inFlight = true;
    history.startsMs.push(nowMs);
    history.notBeforeMs = nowMs + brokerLimits.startPauseMs;
    this.#histories.set(machineId, history);
    this.#recentMs.push(nowMs);
    this.#inFlight += 1;
    return { kind: "go" };
  }

  succeeded(machineId: string): void {
    const history = this.#end(machineId);
    if (history !== undefined) history.failures = 0;
  }

  /** Returns the time until it may be tried again. */
  failed(machineId: string, nowMs: number): number {
    const history = this.#end(machineId);
    if (history === undefined) return brokerLimits.startPauseMs;
    const pauseMs = Math.min(
      brokerLimits.startPauseMs * 2 ** history.failures,
      brokerLimits.startPauseMsMax,
    );
    history.failures += 1;
    history.notBeforeMs = nowMs + pauseMs;
    return pauseMs;
  }

  #overallVerdict(machineId: string, nowMs: number): StartVerdict | null {
    forgetBefore(this.#recentMs, nowMs - minuteMs);
    const [oldestMs = nowMs] = this.#recentMs;
    if (this.#recentMs.length >= brokerLimits.startsPerMinuteMax)
      return { kind: "busy", retryMs: oldestMs + minuteMs - nowMs };
    if (this.#inFlight >= brokerLimits.startsInFlightMax || !this.#hasRoom(machineId, nowMs))
      return { kind: "busy", retryMs: brokerLimits.startPauseMs };
    return null;
  }

  #hasRoom(machineId: string, nowMs: number): boolean {
    const isFull = (): boolean => this.#histories.size >= brokerLimits.startsRememberedMax;
    if (this.#histories.has(machineId) || !isFull()) return true;
    for (const [id, history] of this.#histories) {
      forgetBefore(history.startsMs, nowMs - dayMs);
      if (history.startsMs.length === 0 && !history.inFlight) this.#histories.delete(id);
    }
    return !isFull();
  }

  #end(machineId: string): History | undefined {
    const history = this.#histories.get(machineId);
    if (history?.inFlight !== true) return undefined;
    history.inFlight = false;
    this.#inFlight -= 1;
    return history;
  }
}

interface History {
  /** Of the last day, oldest first. */
  readonly startsMs: number[];
  inFlight: boolean;
  /** In a row. */
  failures: number;
  notBeforeMs: number;
}

function newHistory(): History {
  return { startsMs: [], inFlight: false, failures: 0, notBeforeMs: 0 };
}

function machineVerdict(
  { startsMs, notBeforeMs, failures }: History,
  nowMs: number,
): StartVerdict | null {
  const restMs = Math.max(
    restOf(startsMs, brokerLimits.startsPerHourPerMachineMax, nowMs - hourMs),
    restOf(startsMs, brokerLimits.startsPerDayPerMachineMax, nowMs - dayMs),
  );
  if (restMs > 0) return { kind: "resting", retryMs: restMs };
  if (notBeforeMs <= nowMs) return null;
  return { kind: "too-soon", retryMs: notBeforeMs - nowMs, afterFailure: failures > 0 };
}

/** How long until fewer than `max` of the starts are younger than `sinceMs`. */
function restOf(startsMs: readonly number[], max: number, sinceMs: number): number {
  const decidingMs = startsMs.at(-max);
  return decidingMs === undefined ? 0 : Math.max(0, decidingMs - sinceMs);
}

function forgetBefore(timesMs: number[], sinceMs: number): void {
  const first = timesMs.findIndex((timeMs) => timeMs > sinceMs);
  timesMs.splice(0, first === -1 ? timesMs.length : first);
}

const minuteMs = 60_000;
const hourMs = 3_600_000;
const dayMs = 86_400_000;
