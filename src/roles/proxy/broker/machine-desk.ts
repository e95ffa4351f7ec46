import type { ApiClock } from "../../../fly/api-clock.ts";
import type { MachinesApi } from "../../../fly/machines-api.ts";
import type { Log } from "../../../system/log.ts";
import type { RelayRecord } from "../broker-record.ts";
import type { BrokerRequest } from "../decision.ts";
import { DirectoryPoll } from "./directory-poll.ts";
import { type LookupOutcome, MachineLookup } from "./machine-lookup.ts";
import { MachineMap } from "./machine-map.ts";
import { MachineStarter, type StartCount } from "./machine-starter.ts";
import type { MetricsPage } from "./metrics-page.ts";
import { LabelledCount } from "./labelled-count.ts";

export interface MachineDeskOptions {
  readonly api: Pick<
    MachinesApi,
    "listSummaries" | "readMachine" | "startMachine" | "waitForState"
  >;
  readonly refreshIntervalMs: number;
  readonly clock: ApiClock;
  readonly signal: AbortSignal;
  readonly log: Log;
  /** For the relay that runs. */
  readonly tell: (record: RelayRecord) => void;
}

/** Everything that concerns machines: which there are, and starting them. */
export class MachineDesk {
  readonly #map = new MachineMap();
  readonly #poll: DirectoryPoll;
  readonly #lookup: MachineLookup;
  readonly #starter: MachineStarter;
  readonly #lookups = new LabelledCount("lookups_total", ["outcome"], each(lookupOutcomes));
  readonly #starts = new LabelledCount("starts_total", ["outcome"], each(startCounts));
  readonly #signal: AbortSignal;

  constructor(options: MachineDeskOptions) {
    const { clock, refreshIntervalMs: intervalMs, signal } = options;
    const shared = { ...options, map: this.#map };
    this.#signal = signal;
    this.#poll = new DirectoryPoll({ ...shared, intervalMs });
    const lookup = new MachineLookup({
      ...shared,
      count: (outcome) => this.#lookups.count(outcome),
    });
    this.#lookup = lookup;
    this.#starter = new MachineStarter({
      ...shared,
      clock,
      count: (outcome) => this.#starts.count(outcome),
      lookUp: (machineId) => lookup.ask(machineId),
    });
  }

  start(): void {
    void this.#poll.run(this.#signal);
  }

  receive({ kind, machineId }: BrokerRequest): void {
    if (kind === "start") this.#starter.ask(machineId);
    else this.#lookup.ask(machineId);
  }

  /** All that a new relay must know. */
  *records(): Generator<RelayRecord> {
    yield* this.#map.records();
    if (this.#poll.isSynced) yield { kind: "synced" };
  }

  get isSynced(): boolean {
    return this.#poll.isSynced;
  }

  ageMs(nowMs: number): number {
    return this.#poll.ageMs(nowMs);
  }

  addTo(page: MetricsPage, nowMs: number): void {
    page.add("directory_age_seconds", Math.round(this.ageMs(nowMs)) / 1000);
    for (const [state, count] of Object.entries(this.#map.countByState()))
      page.add("machines", count, { state });
    this.#lookups.addTo(page);
    this.#starts.addTo(page);
    page.add("starts_in_flight", this.#starter.inFlight);
  }
}

const lookupOutcomes: readonly LookupOutcome[] = ["found", "missing", "failed", "limited"];
const startCounts: readonly StartCount[] = ["started", "failed", "too-soon", "busy", "resting"];

function each(words: readonly string[]): string[][] {
  return words.map((word) => [word]);
}
