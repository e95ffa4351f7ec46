import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { RemoteError } from "../../protocol/errors.ts";
import type { Status } from "../../protocol/message.ts";
import type { Log } from "../../system/log.ts";
import { signalProcess } from "../../system/process.ts";
import type { ChildReaper, ProcessEnd } from "../../system/reaper.ts";
import { late, within } from "../../system/within.ts";
import { endWhenAlone } from "./busybox-end.ts";
import { initLimits } from "./limits.ts";
import { askedByEnd, endWords } from "./workload-end.ts";
import { startWorkload, type WorkloadProcess } from "./workload-process.ts";

export interface WorkloadOptions {
  readonly dataDir: string;
  readonly hostname: string;
  readonly stopGraceMs: number;
  readonly reaper: ChildReaper;
  readonly log: Log;
  /** Somebody inside switched the machine off. */
  readonly onPowerOff: () => void;
}

export interface UnwishedEnd {
  /** In words. */
  readonly how: string;
  /** The workload itself wanted to be started anew, or to stop. */
  readonly reboot: boolean;
}

/**
 * Keeps the image's init running: starts it, starts it again when it ends, stops it when asked.
 * Starts and stops follow each other; none overlap.
 */
export class Workload {
  readonly #options: WorkloadOptions;
  #running: WorkloadProcess | undefined;
  #wanted = false;
  #closed = false;
  #pauseMs: number = initLimits.restartPauseMs;
  #failed = false;
  #restart: ReturnType<typeof setTimeout> | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  readonly #onStopping = new Set<(workload: WorkloadProcess) => void>();
  readonly #onEnded = new Set<(ended: UnwishedEnd) => void>();

  constructor(options: WorkloadOptions) {
    this.#options = options;
  }

  get runtime(): Status["runtime"] {
    if (this.#running !== undefined) return this.#running.runtime;
    return this.#failed ? "failed" : "not-started";
  }

  /** What sessions are started in. Throws `RemoteError` "not-ready". */
  get running(): WorkloadProcess {
    if (this.#running !== undefined) return this.#running;
    throw this.#failed
      ? new RemoteError("not-ready", "The workload's init has ended and is being restarted")
      : new RemoteError("not-ready", "No workload runs here yet", "Provision a root filesystem");
  }

  /** PID 1 of what runs here, by its number outside. */
  get pid(): number | null {
    return this.#running?.pid ?? null;
  }

  /** Waits for a start or stop that is under way; for those who come while the machine boots. */
  async settled(): Promise<void> {
    await within(this.#turn, initLimits.settleMs);
  }

  /** Called before PID 1 is asked to stop, while it still runs. */
  onStopping(listener: (workload: WorkloadProcess) => void): void {
    this.#onStopping.add(listener);
  }

  /** Called when PID 1 ended, or did not start, without our asking for it; it is started again after a pause. */
  onEnded(listener: (ended: UnwishedEnd) => void): void {
    this.#onEnded.add(listener);
  }

  /** Whether `close` was called: nothing is started any more. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Resolves once init runs and has not ended at once. Rejects with `RemoteError` "workload-failed";
   * then it is not tried again.
   */
  async start(): Promise<void> {
    try {
      await this.#inTurn(async () => {
        this.#wanted = true;
        await this.#launch();
      });
      await this.#passTrial();
    } catch (error) {
      this.#wanted = false;
      clearTimeout(this.#restart);
      this.#failed = true;
      throw error;
    }
  }

  /** Like `start`, but goes on trying: for the boot of a machine that has a rootfs. */
  async keepRunning(): Promise<void> {
    await this.#inTurn(async () => {
      this.#wanted = true;
      await this.#launchOrRetry();
    });
  }

  /** Asks PID 1 to shut down, waits for the grace, kills it. Resolves when nothing runs any more. */
  async stop(): Promise<void> {
    this.#wanted = false;
    clearTimeout(this.#restart);
    await this.#inTurn(async () => {
      this.#wanted = false;
      this.#failed = false;
      if (this.#running !== undefined) await this.#end(this.#running);
    });
  }

  /** Like `stop`, for good. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.stop();
  }

  /** Ours never ends by itself; an image's may lack something it only finds out when it runs. */
  async #passTrial(): Promise<void> {
    const started = this.#running;
    if (started?.runtime !== "system-init") return;
    const end = await within(started.ended, initLimits.trialMs);
    if (end === late || !this.#wanted) return;
    const how = endWords(end);
    throw new RemoteError("workload-failed", `The image's /sbin/init ended at once: ${how}`);
  }

  async #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #launch(): Promise<void> {
    if (this.#closed) throw new RemoteError("not-ready", "The machine is being stopped");
    if (this.#running !== undefined) return;
    const { dataDir, hostname, reaper, log } = this.#options;
    const fallbackInit = fallbackInits.find((path) => existsSync(path));
    this.#failed = false;
    const started = await startWorkload({
      reaper,
      log,
      plan: {
        rootfs: join(dataDir, "rootfs"),
        persist: persistFolders(dataDir),
        hostname,
        ...(fallbackInit === undefined ? {} : { fallbackInit }),
      },
    });
    this.#running = started;
    log("info", "workload started", { runtime: started.runtime, pid: started.pid });
    const startedAtMs = performance.now();
    const watch = async (): Promise<void> => {
      const end = await started.ended;
      this.#ended(started, end, performance.now() - startedAtMs);
    };
    watch().catch(() => undefined);
  }

  async #launchOrRetry(): Promise<void> {
    if (this.#closed) return;
    try {
      await this.#launch();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#failed = true;
      this.#options.log("error", "workload failed", { message });
      this.#retryLater();
      this.#tellEnded({ how: message, reboot: false });
    }
  }

  #ended(ended: WorkloadProcess, end: ProcessEnd, livedMs: number): void {
    if (this.#running === ended) this.#running = undefined;
    ended.close();
    const { log, onPowerOff } = this.#options;
    log(this.#wanted ? "warn" : "info", "workload ended", {
      exit_code: end.kind === "exited" ? end.code : undefined,
      signal: end.kind === "killed" ? end.signal : undefined,
      out_of_memory: end.kind === "killed" ? end.outOfMemory : undefined,
      lived_ms: Math.round(livedMs),
    });
    if (!this.#wanted) return;
    this.#failed = true;
    const asked = livedMs < initLimits.bootingMs ? undefined : askedByEnd(end);
    if (asked !== undefined) log("info", "workload asked", { for: asked });
    if (asked === "power-off") {
      this.#wanted = false;
      onPowerOff();
      return;
    }
    const healthy = asked === "reboot" || livedMs >= initLimits.healthyMs;
    if (healthy) this.#pauseMs = initLimits.restartPauseMs;
    if (asked === "reboot") this.#retry();
    else this.#retryLater();
    const livedSeconds = (livedMs / 1000).toFixed(1);
    this.#tellEnded({
      how: `its init ended after ${livedSeconds} s: ${endWords(end)}`,
      reboot: asked === "reboot",
    });
  }

  #tellEnded(ended: UnwishedEnd): void {
    for (const listener of this.#onEnded) listener(ended);
  }

  #retryLater(): void {
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(pauseMs * 2, initLimits.restartPauseMsMax);
    this.#restart = setTimeout(() => this.#retry(), pauseMs);
  }

  #retry(): void {
    const retry = this.#inTurn(async () => {
      if (this.#wanted) await this.#launchOrRetry();
    });
    retry.catch(() => undefined);
  }

  async #end(running: WorkloadProcess): Promise<void> {
    for (const listener of this.#onStopping) listener(running);
    signalProcess(running.pid, running.stopSignal);
    // A machine that goes down has nobody who waits, and BusyBox still brings everything to disk.
    if (running.isBusybox && !this.#closed) endWhenAlone(running, this.#options.log);
    if (await endedWithin(running, this.#options.stopGraceMs)) return;
    this.#options.log("warn", "workload killed", { after_ms: this.#options.stopGraceMs });
    signalProcess(running.pid, 9);
    if (!(await endedWithin(running, initLimits.killWaitMs)))
      this.#options.log("error", "workload does not end", { pid: running.pid });
  }
}

async function endedWithin(running: WorkloadProcess, ms: number): Promise<boolean> {
  return (await within(running.ended, ms)) !== late;
}

/** /root and /home live on the volume and outlast every rootfs. */
function persistFolders(dataDir: string): { source: string; target: string }[] {
  return [
    { name: "root", mode: 0o700 },
    { name: "home", mode: 0o755 },
  ].map(({ name, mode }) => {
    const source = join(dataDir, "persist", name);
    mkdirSync(source, { recursive: true, mode });
    return { source, target: `/${name}` };
  });
}

/** Static, from the Debian package catatonit or podman's. */
const fallbackInits = ["/usr/bin/catatonit", "/usr/libexec/podman/catatonit"];
