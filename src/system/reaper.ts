import { ptr } from "bun:ffi";
import { openLibc } from "./libc.ts";

export type ProcessEnd =
  | { readonly kind: "exited"; readonly code: number }
  | {
      readonly kind: "killed";
      readonly signal: number;
      /** Killed by the kernel, for there was no memory left. */
      readonly outOfMemory?: boolean;
    };

/**
 * Waits for children started by `PreparedSpawn`, each by its own pid: waiting for any child would
 * steal Bun's own, and Bun does not survive that. SIGCHLD says when to look; a slow clock covers
 * one that got lost. Of thousands none was, and each look wakes an idle machine.
 */
export class ChildReaper {
  readonly #waiting = new Map<number, (end: ProcessEnd) => void>();
  readonly #look = (): void => this.#reapAll();
  readonly #outOfMemory: () => boolean;
  #clock: ReturnType<typeof setInterval> | undefined;

  /** `outOfMemory` is asked about every child found killed by SIGKILL. */
  constructor(outOfMemory: () => boolean = () => false) {
    this.#outOfMemory = outOfMemory;
  }

  /** Resolves once `pid`, a child of ours, has ended; its zombie is gone then. */
  async ended(pid: number): Promise<ProcessEnd> {
    return new Promise((resolve) => {
      if (this.#waiting.size === 0) this.#start();
      this.#waiting.set(pid, resolve);
      this.#reap(pid, resolve);
    });
  }

  #start(): void {
    process.on("SIGCHLD", this.#look);
    this.#clock = setInterval(this.#look, lookEveryMs);
  }

  #stop(): void {
    process.off("SIGCHLD", this.#look);
    clearInterval(this.#clock);
  }

  #reapAll(): void {
    for (const [pid, resolve] of this.#waiting) this.#reap(pid, resolve);
  }

  #reap(pid: number, resolve: (end: ProcessEnd) => void): void {
    const result = libc().waitpid(pid, ptr(status), noHang);
    if (result === 0) return;
    this.#waiting.delete(pid);
    if (this.#waiting.size === 0) this.#stop();
    // -1: somebody else waited for it, which nobody does; then its fate is unknown.
    const end: ProcessEnd =
      result === pid ? decodeStatus(status[0] ?? 0) : { kind: "killed", signal: kill };
    const outOfMemory = end.kind === "killed" && end.signal === kill && this.#outOfMemory();
    resolve(outOfMemory ? { ...end, outOfMemory } : end);
  }
}

function decodeStatus(word: number): ProcessEnd {
  const signal = word & 0x7f;
  return signal === 0 ? { kind: "exited", code: (word >> 8) & 0xff } : { kind: "killed", signal };
}

const status = new Int32Array(new ArrayBuffer(8));
const noHang = 1;
const kill = 9;
const lookEveryMs = 10_000;

let opened: ReturnType<typeof openWaitCalls> | undefined;

function libc(): ReturnType<typeof openWaitCalls> {
  opened ??= openWaitCalls();
  return opened;
}

function openWaitCalls() {
  return openLibc({ waitpid: { args: ["i32", "ptr", "i32"], returns: "i32" } });
}
