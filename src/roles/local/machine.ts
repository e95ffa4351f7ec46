import type { Log } from "../../system/log.ts";
import { ApiError } from "./api-error.ts";
import type { CheckView } from "./health-checks.ts";
import { ulid } from "./identifier.ts";
import { localLimits } from "./limits.ts";
import { restartPlan, stopPlan, suspendObstacle } from "./machine-config.ts";
import type { ExecRequest, ExecResult } from "./machine-exec.ts";
import { endWithin, exitRequest, lostExit } from "./machine-exit.ts";
import type { MachineExit, MachineProcess } from "./machine-process.ts";
import { thaw } from "./process-freeze.ts";
import {
  isReached,
  isSettled,
  StateWaiters,
  type WaitOutcome,
  type WaitWish,
} from "./state-waiters.ts";
import type { EventRecord, MachineRecord, MachineState } from "./record.ts";

/** What a machine needs from the host it lives on. */
export interface MachineHost {
  /** Makes folders and socket ready and starts the process. */
  readonly launch: (record: MachineRecord) => MachineProcess;
  /** The process that the record tells of, if it still runs. */
  readonly adopt: (record: MachineRecord) => MachineProcess | undefined;
  /** After the process has gone for good: takes the socket away. */
  readonly settle: (record: MachineRecord) => void;
  /** An address for a new machine, none of these. */
  readonly newAddress: (taken: ReadonlySet<string>) => Promise<string>;
  /** How its health checks stand. */
  readonly checks: (record: MachineRecord) => readonly CheckView[];
  /** Runs a command in it. */
  readonly execute: (record: MachineRecord, request: ExecRequest) => Promise<ExecResult>;
  /** The record is other than it was. */
  readonly changed: (record: MachineRecord) => void;
  /** How long to rest before the next restart, after so many. */
  readonly restartDelayMs: (restarts: number) => number;
  readonly log: Log;
  readonly wallMs: () => number;
}

/** One machine: its states, its process, and those who wait for it. */
export class Machine {
  readonly record: MachineRecord;
  readonly #host: MachineHost;
  readonly #cleanUp: () => Promise<void>;
  readonly #waiters = new StateWaiters();
  #process: MachineProcess | undefined;
  #restartTimer: NodeJS.Timeout | undefined;
  /** Set while a stop is under way; resolves when the process has gone. */
  #stopping: Promise<void> | undefined;
  /** While an update waits for the old process to go: whether the new version is then started. */
  #launchNext = false;
  #executing = 0;

  /** `cleanUp` takes away what a machine leaves when it is destroyed. */
  constructor(record: MachineRecord, host: MachineHost, cleanUp: () => Promise<void>) {
    this.record = record;
    this.#host = host;
    this.#cleanUp = cleanUp;
  }

  get nowMs(): number {
    return Math.floor(this.#host.wallMs());
  }

  get isRunning(): boolean {
    return this.#process !== undefined;
  }

  /** After fly-local came back: take up the process again, or find out that it has gone. */
  adopt(): void {
    const { record } = this;
    const process = this.#host.adopt(record);
    if (process !== undefined) {
      this.#host.log("info", "machine-adopted", { machine: record.id, pid: process.identity.pid });
      this.#watch(process);
      // Only the old fly-local knew when the grace would be over.
      if (record.state === "stopping") this.stop();
      if (record.state === "suspending") this.#freeze(process);
      if (record.state === "replacing") this.#replace(true);
      if (record.state === "starting") void process.ready?.then(() => this.#started(process));
      return;
    }
    const wasRunning = record.process !== undefined;
    delete record.process;
    if (wasRunning) this.#event("exit", "stopped", "flyd", lostExit);
    delete record.frozen;
    const wasReplaced = record.state === "replacing";
    const needsProcess =
      ["started", "suspended"].includes(record.state) || !isSettled(record.state);
    if (needsProcess && record.state !== "destroying") this.#move("stopped");
    if (wasReplaced) this.start("flyd");
  }

  start(source: EventRecord["source"] = "user"): MachineState {
    const before = this.record.state;
    if (before === "suspended" && this.#process !== undefined) return this.#resume(source);
    if (this.#process !== undefined && !passing.has(before)) return before;
    if (this.#process !== undefined || passing.has(before) || before === "destroyed") {
      throw new ApiError(412, `failed_precondition: machine still ${before}, refusing to start`);
    }
    this.#clearRestart();
    this.record.restarts = 0;
    this.#event("start", "starting", source);
    this.#move("starting");
    this.#launch();
    return before;
  }

  /** Asks the process to end, and sees to it that it does. Returns at once; `stopped` says when. */
  stop(asked: { signal?: string | undefined; timeout?: string | number | undefined } = {}): void {
    const plan = stopPlan(this.record.config, asked);
    this.#clearRestart();
    this.#launchNext = false;
    const process = this.#process;
    if (process === undefined) {
      if (this.record.state === "restarting") this.#move("stopped");
      return;
    }
    if (this.#stopping !== undefined) return;
    const isSuspended = this.record.state === "suspended";
    this.#event("stop", "stopping", "user");
    this.#move("stopping");
    if (isSuspended) {
      // What cannot run cannot end in order: what it was suspended with is dropped.
      this.#stopping = process.kill();
      return;
    }
    process.signal(plan.signal);
    this.#stopping = endWithin(process, plan.graceMs, () => {
      this.#host.log("warn", "machine-killed", { machine: this.record.id, grace: plan.graceMs });
    });
  }

  /** Stops the processes where they are; `start` lets them go on. */
  suspend(): void {
    const { state, config } = this.record;
    if (state === "suspended") return;
    const obstacle = state === "started" ? suspendObstacle(config) : `it is ${state}, not started`;
    if (this.#process === undefined || obstacle !== undefined)
      throw new ApiError(412, `failed_precondition: unable to suspend machine: ${obstacle}`);
    this.#event("suspend", "suspending", "user");
    this.#move("suspending");
    this.#freeze(this.#process);
  }

  /** Resolves when no process runs any more. */
  async stopped(): Promise<void> {
    while (this.#process !== undefined) await this.#process.exited;
  }

  signal(name: NodeJS.Signals): void {
    if (this.#process === undefined || this.record.state === "suspended") {
      throw new ApiError(412, `failed_precondition: machine is ${this.record.state}, not started`);
    }
    this.#process.signal(name);
  }

  async execute(request: ExecRequest): Promise<ExecResult> {
    const { state } = this.record;
    if (state !== "started" || this.#executing >= localLimits.execAtOnceMax)
      throw new ApiError(412, `failed_precondition: machine is ${state}, or busy with others`);
    this.#executing += 1;
    try {
      return await this.#host.execute(this.record, request);
    } finally {
      this.#executing -= 1;
    }
  }

  async destroy(force: boolean): Promise<void> {
    if (this.record.state === "destroyed") return;
    const resting = this.#process === undefined || this.record.state === "suspended";
    if ((!resting || this.record.state === "restarting") && !force) {
      throw new ApiError(
        412,
        "failed_precondition: unable to destroy machine, not currently stopped, suspended or failed",
      );
    }
    this.#clearRestart();
    this.#event("destroy", "destroying", "user");
    this.#move("destroying");
    await this.#process?.kill();
    await this.stopped();
    this.#host.settle(this.record);
    await this.#cleanUp();
    this.#event("destroy", "destroyed", "flyd");
    this.#move("destroyed");
  }

  /**
   * New configuration or not, a new version. The old process goes first, then the machine starts,
   * whatever it did before, unless that is not wanted. Returns at once, as Fly does.
   */
  update(config: Record<string, unknown>, skipLaunch: boolean): void {
    const { record } = this;
    if (["destroying", "destroyed"].includes(record.state))
      throw new ApiError(412, `failed_precondition: machine is ${record.state}`);
    // With the old configuration, which says how it is stopped.
    if (record.state !== "replacing") this.stop();
    this.#newVersion(config);
    this.#event("update", "replacing", "user");
    this.#move("replacing");
    this.#replace(!skipLaunch);
  }

  /** Stops, has its record changed, and starts again if it was started. */
  async moveHost(change: () => void): Promise<void> {
    const wasStarted = this.record.state === "started";
    this.stop();
    await this.stopped();
    change();
    this.#event("launch", "created", "flyd");
    this.touch();
    if (wasStarted) this.start("flyd");
  }

  async waitFor(wanted: WaitWish, timeoutMs: number, signal: AbortSignal): Promise<WaitOutcome> {
    return this.#waiters.wait(() => isReached(this.record, wanted), timeoutMs, signal);
  }

  /** A change of record that is no change of state. */
  touch(): void {
    this.record.updatedAtMs = this.nowMs;
    this.#host.changed(this.record);
  }

  #newVersion(config: Record<string, unknown>): void {
    const { record } = this;
    record.versions = [
      { version: record.version, config: record.config },
      ...(record.versions ?? []),
    ];
    record.versions.splice(localLimits.versionsMax);
    record.config = config;
    record.version = ulid(this.#host.wallMs());
  }

  #replace(launch: boolean): void {
    this.#launchNext = launch;
    const process = this.#process;
    if (process === undefined) {
      if (!launch) this.#replaced();
      // After the answer, in which the machine has not started yet.
      else setTimeout(() => this.#replaced(), 0);
      return;
    }
    if (this.#stopping !== undefined) return;
    const plan = stopPlan(this.record.config);
    process.signal(plan.signal);
    this.#stopping = endWithin(process, plan.graceMs, () => undefined);
  }

  /** The old version has gone. */
  #replaced(): void {
    if (this.record.state !== "replacing") return;
    const ranBefore = this.record.events.some(({ type }) => type === "start");
    this.#move(ranBefore ? "stopped" : "created");
    if (this.#launchNext) this.start("flyd");
  }

  #freeze(process: MachineProcess): void {
    this.record.frozen = [...process.freeze()];
    this.#event("suspend", "suspended", "flyd");
    this.#move("suspended");
  }

  #resume(source: EventRecord["source"]): MachineState {
    this.#event("start", "starting", source);
    this.#move("starting");
    thaw(this.record.frozen ?? []);
    delete this.record.frozen;
    this.#event("start", "started", "flyd");
    this.#move("started");
    return "suspended";
  }

  #launch(): void {
    const { record } = this;
    let process: MachineProcess;
    try {
      process = this.#host.launch(record);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#host.log("error", "machine-launch-failed", { machine: record.id, error: message });
      this.#event("launch", "failed", "flyd", { message });
      this.#move("failed");
      return;
    }
    record.process = process.identity;
    this.#watch(process);
    if (process.ready === undefined) this.#started(process);
    else {
      this.#host.changed(record);
      void process.ready.then(() => this.#started(process));
    }
  }

  #started(process: MachineProcess): void {
    if (this.#process !== process || this.#stopping !== undefined) return;
    this.#event("start", "started", "flyd");
    this.#move("started");
  }

  #watch(process: MachineProcess): void {
    this.#process = process;
    void process.exited.then((exit) => this.#receiveExit(exit));
  }

  #receiveExit(exit: MachineExit): void {
    const { record } = this;
    const requested = this.#stopping !== undefined || record.state === "destroying";
    const wasSuspended = record.state === "suspended";
    this.#process = undefined;
    this.#stopping = undefined;
    delete record.process;
    delete record.frozen;
    const restarting = !requested && !wasSuspended && this.#mayRestart(exit);
    this.#host.log("info", "machine-exited", {
      machine: record.id,
      exitCode: exit.exitCode,
      signal: exit.signal,
      requested,
      restarting,
    });
    this.#event(
      "exit",
      "stopped",
      "flyd",
      exitRequest(exit, { requested, restarting, atMs: this.nowMs }, record),
    );
    if (record.state === "destroying") return;
    if (record.state === "replacing") this.#replaced();
    else if (restarting) this.#restartLater();
    else if (!requested && record.config["auto_destroy"] === true) void this.destroy(true);
    else this.#move("stopped");
  }

  #mayRestart(exit: MachineExit): boolean {
    const plan = restartPlan(this.record.config);
    const started = this.record.events.find((event) => event.status === "started");
    const ranMs = this.#host.wallMs() - (started?.timestamp ?? 0);
    if (ranMs > localLimits.restartWindowMs) this.record.restarts = 0;
    if (plan.policy === "no" || this.record.restarts >= plan.retriesMax) return false;
    return plan.policy === "always" || exit.exitCode !== 0;
  }

  #restartLater(): void {
    const { record } = this;
    const delayMs = this.#host.restartDelayMs(record.restarts);
    record.restarts += 1;
    this.#move("restarting");
    this.#restartTimer = setTimeout(() => this.#launch(), delayMs);
  }

  #clearRestart(): void {
    clearTimeout(this.#restartTimer);
    this.#restartTimer = undefined;
  }

  #event(
    type: string,
    status: string,
    source: EventRecord["source"],
    request?: Record<string, unknown>,
  ): void {
    const { nowMs } = this;
    this.record.events.unshift({
      id: ulid(nowMs),
      type,
      status,
      source,
      timestamp: nowMs,
      ...(request === undefined ? {} : { request }),
    });
    this.record.events.splice(localLimits.eventsMax);
  }

  #move(state: MachineState): void {
    this.record.state = state;
    this.touch();
    this.#waiters.notify();
  }
}

/** On the way to something else: no time to start. */
const passing: ReadonlySet<MachineState> = new Set(["stopping", "replacing", "destroying"]);
