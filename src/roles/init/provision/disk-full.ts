import { freeSpace, type FreeSpace } from "../../../system/filesystem.ts";
import type { ProvisionLimits } from "./limits.ts";

/** The volume has no room for the archive: found out before writing where sizes are known, else by the kernel. */
export class DiskFull extends Error {
  override readonly name = "DiskFull";
}

/** Keeps a tenth of what was free at the start for everybody else. */
export class SpaceGuard {
  readonly #measure: () => FreeSpace;
  readonly #limits: ProvisionLimits;
  readonly #keepBytes: number;
  readonly #keepInodes: number;
  #bytesLeft = 0;
  #inodesLeft = 0;
  #uncheckedBytes = 0;
  #uncheckedEntries = 0;

  constructor(fd: number, limits: ProvisionLimits, measure: () => FreeSpace = () => freeSpace(fd)) {
    this.#measure = measure;
    this.#limits = limits;
    const free = measure();
    this.#keepBytes = free.bytes * (1 - limits.freeShareMax);
    this.#keepInodes = free.inodes === Infinity ? 0 : free.inodes * (1 - limits.freeShareMax);
    this.#take(free);
  }

  /** Before an entry is made. Throws `DiskFull`. */
  reserve(sizeBytes: number): void {
    if (
      this.#uncheckedBytes >= this.#limits.spaceCheckBytes ||
      this.#uncheckedEntries >= this.#limits.spaceCheckEntries
    ) {
      this.#take(this.#measure());
    }
    if (sizeBytes > this.#bytesLeft) {
      throw new DiskFull(`${sizeBytes} bytes are needed next and ${this.#bytesLeft} may be used`);
    }
    if (this.#inodesLeft < 1) throw new DiskFull("The file system has no inodes left");
    this.#bytesLeft -= sizeBytes;
    this.#inodesLeft -= 1;
    this.#uncheckedBytes += sizeBytes;
    this.#uncheckedEntries += 1;
  }

  #take(free: FreeSpace): void {
    this.#bytesLeft = Math.max(0, Math.floor(free.bytes - this.#keepBytes));
    this.#inodesLeft = free.inodes - this.#keepInodes;
    this.#uncheckedBytes = 0;
    this.#uncheckedEntries = 0;
  }
}
