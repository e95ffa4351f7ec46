import { closeSync, existsSync, mkdirSync, openSync, readdirSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import {
  closeFile,
  currentFolder,
  hasCode,
  openat2,
  openFlags,
  renameat2,
  renameFlags,
  unlinkat,
} from "../../../system/filesystem.ts";
import type { DataLayout } from "./data-layout.ts";
import { strictResolve } from "./folder-cache.ts";
import { provisionLimits } from "./limits.ts";

let serial = 0;

/** Moves a tree out of the way in one step; a half-deleted one must never stand under a name that means something. */
export function throwAway(layout: DataLayout, path: string): void {
  if (!existsSync(path)) return;
  mkdirSync(layout.trash, { recursive: true, mode: 0o700 });
  for (;;) {
    serial++;
    const to = { folder: currentFolder, name: `${layout.trash}/${process.pid}-${serial}` };
    try {
      return renameat2({ folder: currentFolder, name: path }, to, renameFlags.noReplace);
    } catch (error) {
      if (hasCode(error, "ENOENT")) return;
      if (!hasCode(error, "EEXIST")) throw error;
    }
  }
}

/**
 * Deletes what was thrown away, a few names per turn of the event loop, by descriptors and never
 * through a link: the tree was a guest's, who may have left any names, links and depth in it.
 * What cannot be removed (an immutable file) stays for the next time; returns how much that was.
 */
export async function emptyTrash(layout: DataLayout): Promise<number> {
  const earlier = emptying.get(layout.trash) ?? Promise.resolve(0);
  const run = earlier.catch(() => 0).then(() => emptyNow(layout));
  emptying.set(layout.trash, run);
  try {
    return await run;
  } finally {
    if (emptying.get(layout.trash) === run) emptying.delete(layout.trash);
  }
}

/** One after the other: two at once would count each other's names as stubborn. */
const emptying = new Map<string, Promise<number>>();

async function emptyNow(layout: DataLayout): Promise<number> {
  let fd: number;
  try {
    fd = openSync(layout.trash, openFlags.directory | openFlags.noFollow);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return 0;
    throw error;
  }
  try {
    const remover = new Remover(fd);
    // Deep folders were moved up while the trash was emptied: they come next.
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
  readonly #trashFd: number;
  #sinceTurn = 0;
  #moved = 0;

  constructor(trashFd: number) {
    this.#trashFd = trashFd;
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
    const to = { folder: this.#trashFd, name: `deep-${process.pid}-${this.#moved}` };
    renameat2({ folder, name }, to, renameFlags.noReplace);
    return true;
  }
}
