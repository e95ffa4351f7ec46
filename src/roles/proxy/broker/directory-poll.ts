import type { ApiClock } from "../../../fly/api-clock.ts";
import { MachinesApiError } from "../../../fly/api-error.ts";
import type { MachinePage, MachineSummary } from "../../../fly/machine-shape.ts";
import type { MachinesApi } from "../../../fly/machines-api.ts";
import type { Log } from "../../../system/log.ts";
import { apiTrouble } from "./api-trouble.ts";
import type { RelayRecord } from "../broker-record.ts";
import { brokerLimits } from "./broker-limits.ts";
import type { MachineMap } from "./machine-map.ts";

interface DirectoryPollOptions {
  readonly api: Pick<MachinesApi, "listSummaries">;
  readonly map: MachineMap;
  readonly intervalMs: number;
  readonly clock: ApiClock;
  readonly log: Log;
  readonly tell: (record: RelayRecord) => void;
}

/** Keeps the map as the Machines API has it. While that cannot be asked, the map stays as it is. */
export class DirectoryPoll {
  readonly #options: DirectoryPollOptions;
  readonly #sinceMs: number;
  #lastListMs: number | undefined;
  #failures = 0;
  #trouble: string | undefined;

  constructor(options: DirectoryPollOptions) {
    this.#options = options;
    this.#sinceMs = options.clock.monotonicMs();
  }

  /** Whether there was a whole list at all. */
  get isSynced(): boolean {
    return this.#lastListMs !== undefined;
  }

  /** Since the last list was asked for; before the first one, since we began. */
  ageMs(nowMs: number): number {
    return nowMs - (this.#lastListMs ?? this.#sinceMs);
  }

  /** Until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      const pauseMs = await this.#poll(signal);
      await clock.sleep(pauseMs, signal).catch(() => undefined);
    }
  }

  /** Returns how long to wait before the next one. */
  async #poll(signal: AbortSignal): Promise<number> {
    const { map, clock, tell } = this.#options;
    const askedMs = clock.monotonicMs();
    try {
      const list = await this.#list(askedMs);
      for (const record of map.applyList(list, askedMs)) tell(record);
      if (!this.isSynced) tell({ kind: "synced" });
      this.#lastListMs = askedMs;
      this.#well(list.machines.length, list.unreadable);
      return this.#jitter(this.#options.intervalMs - (clock.monotonicMs() - askedMs));
    } catch (error) {
      if (signal.aborted) return 0;
      this.#unwell(error);
      return this.#jitter(this.#retryMs(error));
    }
  }

  /** Pages may be a second apart: what is on one is of use before the next one is here. */
  async #list(askedMs: number): Promise<MachinePage> {
    const { api, map, tell } = this.#options;
    const machines: MachineSummary[] = [];
    let unreadable = 0;
    for await (const page of api.listSummaries()) {
      machines.push(...page.machines);
      unreadable += page.unreadable;
      for (const record of map.applyPage(page, askedMs)) tell(record);
    }
    return { machines, unreadable };
  }

  #well(machines: number, unreadable: number): void {
    const { log } = this.#options;
    if (this.#failures > 0 || this.#trouble === undefined)
      log("info", "directory-listed", { machines, failures_before: this.#failures });
    this.#failures = 0;
    this.#trouble = "";
    if (unreadable > 0) log("warn", "directory-rows-unreadable", { rows: unreadable });
  }

  /** Once per cause: it may last for hours. */
  #unwell(error: unknown): void {
    this.#failures += 1;
    const trouble = error instanceof MachinesApiError ? `${error.kind} ${error.status}` : "other";
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    this.#options.log("error", "directory-not-listed", apiTrouble(error));
  }

  #retryMs(error: unknown): number {
    const { intervalMs } = this.#options;
    // Somebody else may be asking for lists, too.
    const isAskedToSlowDown = error instanceof MachinesApiError && error.kind === "rate-limited";
    if (this.isSynced) return isAskedToSlowDown ? 2 * intervalMs : intervalMs;
    return Math.min(intervalMs, brokerLimits.firstListRetryMs * 2 ** (this.#failures - 1));
  }

  /** So that several proxies do not ask at the same moment for ever. */
  #jitter(ms: number): number {
    return Math.max(minPauseMs, ms * (0.9 + 0.2 * this.#options.clock.random()));
  }
}

const minPauseMs = 100;
