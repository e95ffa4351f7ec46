import type { ApiClock } from "../../../fly/api-clock.ts";
import { MachinesApiError } from "../../../fly/api-error.ts";
import type { MachinesApi } from "../../../fly/machines-api.ts";
import { TokenBucket } from "../../../system/token-bucket.ts";
import type { Log } from "../../../system/log.ts";
import { apiTrouble } from "./api-trouble.ts";
import type { RelayRecord } from "../broker-record.ts";
import { brokerLimits } from "./broker-limits.ts";
import type { MachineMap } from "./machine-map.ts";

export type LookupOutcome = "found" | "missing" | "failed" | "limited";

interface MachineLookupOptions {
  readonly api: Pick<MachinesApi, "readMachine">;
  readonly map: MachineMap;
  readonly clock: ApiClock;
  readonly log: Log;
  readonly tell: (record: RelayRecord) => void;
  readonly count: (outcome: LookupOutcome) => void;
}

/** Looks at one machine at once, for a client that waits. Whoever asks too often gets no answer. */
export class MachineLookup {
  readonly #options: MachineLookupOptions;
  readonly #unknown: TokenBucket;
  readonly #known: TokenBucket;
  /** When each was asked for last, oldest first. */
  readonly #askedMs = new Map<string, number>();

  constructor(options: MachineLookupOptions) {
    this.#options = options;
    const nowMs = options.clock.monotonicMs();
    this.#unknown = new TokenBucket({
      perSecond: brokerLimits.unknownLookupsPerSecond,
      burst: brokerLimits.unknownLookupsBurst,
      nowMs,
    });
    this.#known = new TokenBucket({
      perSecond: brokerLimits.knownLookupsPerSecond,
      burst: brokerLimits.knownLookupsBurst,
      nowMs,
    });
  }

  ask(machineId: string): void {
    if (this.#mayAsk(machineId)) void this.#look(machineId);
    else this.#options.count("limited");
  }

  #mayAsk(machineId: string): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    const isKnown = this.#options.map.record(machineId) !== undefined;
    const pauseMs = isKnown ? brokerLimits.knownLookupPauseMs : brokerLimits.unknownLookupPauseMs;
    const beforeMs = this.#askedMs.get(machineId);
    if (beforeMs !== undefined && nowMs - beforeMs < pauseMs) return false;
    if (!(isKnown ? this.#known : this.#unknown).take(nowMs)) return false;
    this.#askedMs.delete(machineId);
    this.#askedMs.set(machineId, nowMs);
    const [oldest] = this.#askedMs.keys();
    if (this.#askedMs.size > brokerLimits.lookupsRememberedMax && oldest !== undefined)
      this.#askedMs.delete(oldest);
    return true;
  }

  async #look(machineId: string): Promise<void> {
    const { api, map, clock, log, tell, count } = this.#options;
    const askedMs = clock.monotonicMs();
    try {
      const machine = await api.readMachine(machineId);
      tell(map.see({ ...machine, id: machineId }, askedMs));
      count("found");
    } catch (error) {
      const isMissing = error instanceof MachinesApiError && error.kind === "not-found";
      if (isMissing) tell(map.forget(machineId, askedMs));
      else log("warn", "machine-not-read", { machine: machineId, ...apiTrouble(error) });
      count(isMissing ? "missing" : "failed");
    }
  }
}
