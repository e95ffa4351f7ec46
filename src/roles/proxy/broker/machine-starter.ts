import type { ApiClock } from "../../../fly/api-clock.ts";
import { MachinesApiError } from "../../../fly/api-error.ts";
import type { FlyMachine } from "../../../fly/machine-shape.ts";
import type { MachinesApi } from "../../../fly/machines-api.ts";
import { TokenBucket } from "../../../system/token-bucket.ts";
import type { Log } from "../../../system/log.ts";
import { apiTrouble } from "./api-trouble.ts";
import type { RelayRecord, StartOutcome } from "../broker-record.ts";
import { brokerLimits } from "./broker-limits.ts";
import type { MachineMap } from "./machine-map.ts";
import { StartPolicy, type StartVerdict } from "./start-policy.ts";

export type StartCount = "started" | "failed" | "too-soon" | "busy" | "resting";

interface MachineStarterOptions {
  readonly api: Pick<MachinesApi, "readMachine" | "startMachine" | "waitForState">;
  readonly map: MachineMap;
  readonly clock: ApiClock;
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly tell: (record: RelayRecord) => void;
  readonly count: (outcome: StartCount) => void;
  /** Of a machine that cannot be started but may be something else by now. */
  readonly lookUp: (machineId: string) => void;
}

/** Starts machines for clients that wait for them, within `StartPolicy`, and says what came of it. */
export class MachineStarter {
  readonly #options: MachineStarterOptions;
  readonly #policy = new StartPolicy();
  readonly #bucket: TokenBucket;

  constructor(options: MachineStarterOptions) {
    this.#options = options;
    this.#bucket = new TokenBucket({
      perSecond: brokerLimits.startsPerSecond,
      burst: brokerLimits.startsBurst,
      nowMs: options.clock.monotonicMs(),
    });
  }

  get inFlight(): number {
    return this.#policy.inFlight;
  }

  ask(machineId: string): void {
    const { map, tell, lookUp } = this.#options;
    const known = map.record(machineId);
    // The relay may not have heard of it yet.
    if (known?.state === "started") tell(known);
    else if (known === undefined || !startable.has(known.state)) lookUp(machineId);
    else this.#askPolicy(machineId);
  }

  #askPolicy(machineId: string): void {
    const { clock, count, log } = this.#options;
    const verdict = this.#policy.ask(machineId, clock.monotonicMs());
    if (verdict.kind === "go") {
      void this.#run(machineId);
    } else if (verdict.kind === "under-way") {
      this.#say(machineId, "starting");
    } else {
      count(verdict.kind);
      this.#say(machineId, outcomeOf(verdict), verdict.retryMs);
      const level = verdict.kind === "too-soon" ? "debug" : "warn";
      log(level, `start-${verdict.kind}`, { machine: machineId, retry_ms: verdict.retryMs });
    }
  }

  async #run(machineId: string): Promise<void> {
    const { clock, count, log, map, signal, tell } = this.#options;
    const askedMs = clock.monotonicMs();
    this.#say(machineId, "starting");
    try {
      await clock.sleep(this.#bucket.reserve(askedMs), signal);
      const machine = await this.#start(machineId);
      this.#policy.succeeded(machineId);
      count("started");
      tell(map.see({ ...machine, id: machineId }, clock.monotonicMs()));
      const tookMs = Math.round(clock.monotonicMs() - askedMs);
      log("info", "machine-started", { machine: machineId, took_ms: tookMs });
    } catch (error) {
      const retryMs = this.#policy.failed(machineId, clock.monotonicMs());
      if (signal.aborted) return;
      count("failed");
      this.#say(machineId, "failed", retryMs);
      if (isNotFound(error)) tell(map.forget(machineId, clock.monotonicMs()));
      else this.#options.lookUp(machineId);
      const fields = { machine: machineId, retry_ms: retryMs, ...apiTrouble(error) };
      log("warn", "machine-not-started", fields);
    }
  }

  async #start(machineId: string): Promise<FlyMachine> {
    const { api } = this.#options;
    try {
      await api.startMachine(machineId);
    } catch (error) {
      // Somebody else may have started it just now, or the answer alone was lost.
      if (isNotFound(error) || !(await this.#isComing(machineId))) throw error;
    }
    const wanted = { state: "started", failures: startFailures } as const;
    return api.waitForState(machineId, wanted, brokerLimits.startWaitMs);
  }

  async #isComing(machineId: string): Promise<boolean> {
    const { api } = this.#options;
    const machine = await api.readMachine(machineId).catch(() => undefined);
    return machine?.state === "started" || machine?.state === "starting";
  }

  #say(machineId: string, outcome: StartOutcome, retryMs = 0): void {
    this.#options.tell({ kind: "start", machineId, outcome, retryS: retryMs / 1000 });
  }
}

/** Only what Fly refused has failed; anything else is a matter of waiting. */
function outcomeOf(verdict: Exclude<StartVerdict, { kind: "go" | "under-way" }>): StartOutcome {
  if (verdict.kind === "resting") return "resting";
  return verdict.kind === "too-soon" && verdict.afterFailure ? "failed" : "busy";
}

function isNotFound(error: unknown): boolean {
  return error instanceof MachinesApiError && error.kind === "not-found";
}

/** A failed one may have been put right; Fly says so if not. */
const startable: ReadonlySet<string> = new Set(["stopped", "suspended", "created", "failed"]);
const startFailures = ["stopped", "suspended", "created", "failed", "destroyed"] as const;
