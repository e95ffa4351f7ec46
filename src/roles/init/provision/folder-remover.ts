import { closeSync, openSync, readdirSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import {
  closeFile,
  hasCode,
  openat2,
  openFlags,
  renameat2,
  renameFlags,
  unlinkat,
} from "../../../system/filesystem.ts";
import { strictResolve } from "./folder-cache.ts";
import { provisionLimits } from "./limits.ts";

/**
 * Deletes what is in a folder, a few names per turn of the event loop, by descriptors and never
 * through a link: the trees were a guest's, who may have left any names, links and depth in them.
 * What cannot be removed (an immutable file) stays; resolves with how many names that were.
 */
export async function emptyFolder(path: string): Promise<number> {
  let fd: number;
  try {
    fd = openSync(path, openFlags.directory | openFlags.noFollow);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return 0;
    throw error;
  }
  try {
    const remover = new Remover(fd);
    // Deep folders were moved up meanwhile: they come next.
    for (;;) {
      const movedBefore = remover.moved;
      const left = await remover.removeAll(fd, 0);
      if (remover.moved === movedBefore) return left;
    }
  } finally {
    closeSync(fd);
  }
}

class Remover {
  readonly #topFd: number;
  #sinceTurn = 0;
  #moved = 0;

  constructor(topFd: number) {
    this.#topFd = topFd;
  }

  get moved(): number {
    return this.#moved;
  }

  /** How many names are left in the folder. */
  async removeAll(folder: number, depth: number): Promise<number> {
    let left = 0;
    // Raw bytes: names of a guest need not be text.
    for (const name of readdirSync(`/proc/self/fd/${folder}`, { encoding: "buffer" })) {
      if (!(await this.#remove(folder, name, depth))) left++;
      if (++this.#sinceTurn < provisionLimits.removalsPerTurn) continue;
      this.#sinceTurn = 0;
      await nextTurn();
    }
    return left;
  }

  async #remove(folder: number, name: Uint8Array, depth: number): Promise<boolean> {
    try {
      unlinkat(folder, name, { directory: false });
      return true;
    } catch (error) {
      if (hasCode(error, "ENOENT")) return true;
      // unlink of a folder: EISDIR on Linux, EPERM by POSIX (and for immutable files).
      if (!hasCode(error, "EISDIR", "EPERM")) return false;
    }
    try {
      if (depth >= provisionLimits.removalDepthMax) return this.#moveUp(folder, name);
      await this.#emptyFolder(folder, name, depth);
      unlinkat(folder, name, { directory: true });
      return true;
    } catch {
      return false;
    }
  }

  async #emptyFolder(folder: number, name: Uint8Array, depth: number): Promise<void> {
    const flags = openFlags.readOnly | openFlags.directory | openFlags.noFollow;
    const fd = openat2(folder, name, { flags, resolve: strictResolve });
    try {
      await this.removeAll(fd, depth + 1);
    } finally {
      closeFile(fd);
    }
  }

  #moveUp(folder: number, name: Uint8Array): boolean {
    this.#moved++;
    const to = { folder: this.#topFd, name: `deep-${process.pid}-${this.#moved}` };
    renameat2({ folder, name }, to, renameFlags.noReplace);
    return true;
  }
}
