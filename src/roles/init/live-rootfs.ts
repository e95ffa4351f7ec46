import { RemoteError } from "../../protocol/errors.ts";
import { limits } from "../../protocol/limits.ts";
import type { Status } from "../../protocol/message.ts";
import { printableLine } from "../../protocol/printable-line.ts";
import type { Log } from "../../system/log.ts";
import { initLimits } from "./limits.ts";
import { Probation } from "./probation.ts";
import { dataLayout } from "./provision/data-layout.ts";
import { linuxVolumeFs } from "./provision/linux-volume-fs.ts";
import { completeMark, readMark } from "./provision/mark.ts";
import { restorePrevious } from "./provision/provision.ts";
import { type Rollback, RollbackNote } from "./rollback-note.ts";
import type { Workload } from "./workload.ts";

export interface LiveRootfsOptions {
  readonly dataDir: string;
  readonly workload: Pick<
    Workload,
    "runtime" | "closed" | "start" | "stop" | "keepRunning" | "onEnded"
  >;
  readonly log: Log;
  /** The live root filesystem has stood its probation. Going back to one records that by itself. */
  readonly onProven: () => void;
  readonly probationMs?: number | undefined;
}

/** What the volume had at boot. */
export interface FoundRootfs {
  readonly rootfs: boolean;
  readonly sha256?: string;
  /** False where the machine went down before the tree had stood its probation. */
  readonly proven?: boolean;
}

/** A tree that is ready to become the live one. */
export interface NextRootfs {
  readonly activate: () => Promise<void>;
  readonly discard: () => Promise<void>;
  /** One that ran before needs no probation. */
  readonly isNew: boolean;
  /** Asked when its turn has come: what came before may have changed the live one. */
  readonly isWanted?: () => boolean;
}

/**
 * The tree the workload runs from. It is changed for another one, and back where that one does not boot
 * or does not stay up. One change at a time.
 */
export class LiveRootfs {
  readonly #options: LiveRootfsOptions;
  readonly #note: RollbackNote;
  readonly #probation: Probation;
  readonly #found: FoundRootfs;
  #present: boolean;
  #digest: string | undefined;
  #rolledBack: Rollback | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: LiveRootfsOptions, found: FoundRootfs) {
    const { dataDir, workload, log, probationMs = initLimits.probationMs } = options;
    this.#options = options;
    this.#found = found;
    this.#present = found.rootfs;
    this.#digest = found.sha256;
    this.#note = new RollbackNote(dataDir, log);
    this.#rolledBack = this.#note.read();
    this.#probation = new Probation({
      workload,
      probationMs,
      onProven: () => this.#proven(),
      onFailed: (because) => void this.#inTurn(async () => this.#leave(because)),
    });
  }

  get present(): boolean {
    return this.#present;
  }

  /** Digest of the archive it came from. */
  get digest(): string | undefined {
    return this.#digest;
  }

  /** With the last one that was left because its init ended too soon, until another one is chosen. */
  get status(): Pick<Status, "rootfs_sha256" | "rolled_back"> {
    return {
      ...(this.#digest === undefined ? {} : { rootfs_sha256: this.#digest }),
      ...(this.#rolledBack === undefined ? {} : { rolled_back: this.#rolledBack }),
    };
  }

  /** Whether there is one to go back to. */
  get hasPrevious(): boolean {
    return readMark(linuxVolumeFs, dataLayout(this.#options.dataDir).previous) !== "absent";
  }

  /** Starts the workload of the machine's boot. */
  async boot(): Promise<void> {
    if (this.#found.proven === false) this.#probation.begin();
    await this.#options.workload.keepRunning();
    this.#probation.passFallback();
  }

  /** Resolves once the new one runs, or is not wanted any more. Whatever goes wrong, the old one runs afterwards. */
  async change(next: NextRootfs, onActivated: () => void): Promise<void> {
    return this.#inTurn(async () => {
      if (next.isWanted?.() === false) return;
      const wasOnProbation = this.#probation.end();
      try {
        await this.#activate(next);
      } catch (error) {
        await this.#goOn(wasOnProbation);
        throw error;
      }
      onActivated();
      await this.#start(next.isNew);
      this.#present = true;
      this.#digest = this.#digestNow();
      this.#rolledBack = undefined;
      this.#note.remove();
    });
  }

  close(): void {
    this.#probation.end();
  }

  async #activate(next: NextRootfs): Promise<void> {
    const { workload } = this.#options;
    await workload.stop();
    if (workload.closed || isRunning(workload)) {
      await next.discard();
      throw workload.closed ? stopping() : unstoppable();
    }
    await next.activate();
  }

  /** With the tree from before, which has as much to prove as it had. */
  async #goOn(wasOnProbation: boolean): Promise<void> {
    const { workload } = this.#options;
    if (workload.closed || !this.#present) return;
    if (wasOnProbation) this.#probation.begin();
    await workload.keepRunning();
    this.#probation.passFallback();
  }

  async #start(isNew: boolean): Promise<void> {
    const { workload, log } = this.#options;
    try {
      await workload.start();
    } catch (error) {
      // Then it was not tried: the next boot does.
      if (workload.closed) throw stopping();
      log("error", "new-rootfs-does-not-boot", { message: String(error) });
      await workload.stop();
      await this.#goBack();
      throw error;
    }
    if (!isNew) return;
    this.#probation.begin();
    this.#probation.passFallback();
  }

  #proven(): void {
    this.#options.log("info", "rootfs-proven");
    this.#options.onProven();
  }

  /** The live one did not stay up. */
  async #leave(because: string): Promise<void> {
    const { workload, log } = this.#options;
    if (workload.closed) return;
    if (!this.hasPrevious) {
      log("error", "rootfs-does-not-stay-up", { because, previous: "none" });
      return;
    }
    const sha256 = this.#digest;
    await workload.stop();
    if (!(await this.#goBack())) return;
    this.#rolledBack = {
      ...(sha256 === undefined ? {} : { sha256 }),
      because: printableLine(because, limits.becauseBytesMax),
    };
    this.#note.write(this.#rolledBack);
    log("error", "rootfs-rolled-back", this.#rolledBack);
  }

  /** With the workload stopped; afterwards one runs again. */
  async #goBack(): Promise<boolean> {
    const { workload, dataDir, log } = this.#options;
    try {
      if (isRunning(workload)) throw unstoppable();
      await restorePrevious(dataDir, log);
      this.#digest = this.#digestNow();
      log("warn", "previous-rootfs-restored");
      return true;
    } catch (error) {
      log("error", "no-previous-rootfs", { message: String(error) });
      return false;
    } finally {
      await workload.keepRunning();
    }
  }

  #digestNow(): string | undefined {
    return completeMark(linuxVolumeFs, dataLayout(this.#options.dataDir).rootfs)?.sha256;
  }

  async #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}

/** After it was stopped: what hangs in the kernel, on a disk or a network mount, no signal ends. */
function isRunning({ runtime }: LiveRootfsOptions["workload"]): boolean {
  return runtime === "system-init" || runtime === "fallback-init";
}

function unstoppable(): RemoteError {
  return new RemoteError(
    "internal",
    "The processes of the running root filesystem do not end, not even when killed",
    "Restart the machine, then try again",
  );
}

export function stopping(): RemoteError {
  return new RemoteError("cancelled", "The machine is being stopped");
}
