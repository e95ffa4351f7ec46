import { readFileSync } from "node:fs";
import type { Log } from "../../system/log.ts";
import type { ProcessEnd } from "../../system/reaper.ts";
import { initLimits } from "./limits.ts";

/** Where the kernel counts, and by which clock we look. */
export interface KillCount {
  readonly read: () => number;
  readonly monotonicMs: () => number;
}

/**
 * Notices when the kernel kills for want of memory. It counts each such kill before it sends the signal,
 * so whoever is found killed soon after the count moved was meant, or went down with the one that was.
 */
export class OutOfMemory {
  readonly #log: Log;
  readonly #count: KillCount;
  #seen: number;
  #movedAtMs = -Infinity;
  #clock: ReturnType<typeof setInterval> | undefined;

  constructor(log: Log, count: KillCount = kernelCount) {
    this.#log = log;
    this.#count = count;
    this.#seen = count.read();
  }

  /** Without looking now and then, an old kill would explain one by hand much later. */
  start(): void {
    this.#clock = setInterval(() => this.#look(), initLimits.outOfMemoryLookMs);
  }

  stop(): void {
    clearInterval(this.#clock);
  }

  /** For a process just found killed by SIGKILL: whether that was for memory. */
  readonly explainsKill = (): boolean => {
    this.#look();
    return this.#count.monotonicMs() - this.#movedAtMs < initLimits.outOfMemoryMs;
  };

  /** Logs by its names what ends so. */
  async follow(names: Readonly<Record<string, string>>, ended: Promise<ProcessEnd>): Promise<void> {
    const end = await ended;
    if (end.kind === "killed" && end.outOfMemory === true)
      this.#log("error", "out-of-memory", names);
  }

  /** What is killed may be a child of a child that nobody here waits for. */
  #look(): void {
    const count = this.#count.read();
    if (count > this.#seen) {
      this.#movedAtMs = this.#count.monotonicMs();
      this.#log("warn", "out-of-memory", { killed: count - this.#seen });
    }
    this.#seen = count;
  }
}

const kernelCount: KillCount = {
  read: () => {
    try {
      return Number(/^oom_kill (\d+)$/m.exec(readFileSync("/proc/vmstat", "utf8"))?.[1] ?? 0);
    } catch {
      return 0;
    }
  },
  monotonicMs: () => performance.now(),
};
