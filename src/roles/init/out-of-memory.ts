import { openSync, readSync } from "node:fs";
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

  constructor(log: Log, count: KillCount = new KernelCount()) {
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

/** One call and one small piece of text a look: it is most of what an idle keeper does. */
class KernelCount implements KillCount {
  readonly monotonicMs = (): number => performance.now();
  readonly #text = Buffer.alloc(vmstatBytesMax);
  #file: number | undefined;

  readonly read = (): number => {
    try {
      this.#file ??= openSync("/proc/vmstat", "r");
      const length = readSync(this.#file, this.#text, 0, vmstatBytesMax, 0);
      const at = this.#text.indexOf(field);
      if (at < 0 || at >= length) return 0;
      return Number.parseInt(this.#text.toString("latin1", at + field.length, length), 10);
    } catch {
      return 0;
    }
  };
}

/** It has some 4 KB. */
const vmstatBytesMax = 16 * 1024;
const field = "\noom_kill ";
