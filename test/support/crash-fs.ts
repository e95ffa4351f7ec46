import { join } from "node:path";
import type { RenameOnto, VolumeFs } from "../../src/roles/init/provision/volume-fs.ts";
import { SystemError } from "../../src/system/libc.ts";
import { type Blocks, CrashDisk, toBlocks, type Tree, zeroBlock } from "./crash-disk.ts";
import type { Random } from "./seed.ts";

/**
 * A disk in memory that can lose its power after any step. What was not synced until then may be
 * there or not, each change for itself:
 *
 *   names    a folder's entries last after its fsync, or a sync of everything. One rename is one
 *            change, an exchange too. Changes of the same name keep their order; all others may reach
 *            the disk in any.
 *   content  old, empty, or new; or torn: each block of 4 KiB old, new or zero.
 *   mark     old or new, until its folder is synced.
 *
 * That is less than ext4 promises, which keeps the order of renames: what is right here does not
 * depend on it.
 */
export class CrashFs implements VolumeFs {
  readonly #before: CrashDisk;
  readonly #disk: CrashDisk;
  readonly #journal: Change[] = [];
  readonly #lastOfName = new Map<string, Change>();
  readonly #capacityBytes: number;
  readonly #steps: string[] = [];
  #nextNode = 1_000_000;

  constructor(disk: CrashDisk = new CrashDisk(), capacityBytes = 1024 ** 3) {
    this.#before = disk.copy();
    this.#disk = disk;
    this.#capacityBytes = capacityBytes;
  }

  /** What programs see. */
  get disk(): CrashDisk {
    return this.#disk;
  }

  /** Everything until now is on the disk, and what comes is step 1. */
  settled(): CrashFs {
    return this.#next(this.#disk.copy());
  }

  /** How many changes and syncs there were. */
  get steps(): number {
    return this.#steps.length;
  }

  get changes(): number {
    return this.#journal.length;
  }

  /** What was done in the steps around this one. */
  around(step: number): string {
    return this.#steps
      .slice(Math.max(0, step - 3), step + 1)
      .map((words, index) => `${index + Math.max(0, step - 3) + 1} ${words}`)
      .join(", ");
  }

  /** The disk as it may be found when the power went after so many steps. */
  crash(step: number, random: Random): CrashFs {
    const disk = this.#before.copy();
    // Nothing, everything, and all between.
    const share = Math.max(0, Math.min(1, random() * 1.5 - 0.25));
    const there = new Set<Change>();
    for (const change of this.#journal) {
      if (change.step > step) break;
      if (!change.needs.every((earlier) => there.has(earlier))) continue;
      const durable = change.durableStep <= step;
      if (!durable && random() >= share) continue;
      there.add(change);
      change.apply(disk, durable ? undefined : random);
    }
    return this.#next(disk);
  }

  #next(disk: CrashDisk): CrashFs {
    const next = new CrashFs(disk, this.#capacityBytes);
    next.#nextNode = this.#nextNode;
    return next;
  }

  exists(path: string): boolean {
    return this.#disk.node(path) !== undefined;
  }

  freeBytes(): number {
    return Math.max(0, this.#capacityBytes - this.#disk.bytes);
  }

  readMark(folder: string): string | undefined {
    return this.#disk.folder(this.#disk.node(folder))?.mark;
  }

  readFile(path: string, bytesMax: number): string | undefined {
    const text = this.#disk.blocks(this.#disk.node(path))?.join("");
    return text === undefined || text.length > bytesMax ? undefined : text;
  }

  makeFolder(path: string): void {
    if (!this.exists(path)) this.#make(path, "folder");
  }

  rename(from: string, to: string, onto: RenameOnto): void {
    const moved = this.#need(from);
    const target = this.#disk.node(to);
    if (onto === "free" && target !== undefined) throw new SystemError("rename", errno.EEXIST, to);
    if (onto === "exchange" && target === undefined)
      throw new SystemError("rename", errno.ENOENT, to);
    if (onto === "replace" && (this.#disk.folder(target)?.names.size ?? 0) > 0)
      throw new SystemError("rename", errno.ENOTEMPTY, to);
    this.#setNames(`rename ${from} ${to} (${onto})`, [
      { ...this.#place(from), node: onto === "exchange" ? target : undefined },
      { ...this.#place(to), node: moved },
    ]);
  }

  writeMark(path: string, value: string): void {
    const node = this.#folder(path);
    this.#change(`mark ${path} ${value.slice(0, 24)}`, {
      touches: [node],
      apply: (disk) => {
        const folder = disk.folder(node);
        if (folder !== undefined) folder.mark = value;
      },
    });
  }

  writeFile(path: string, text: string): void {
    this.#write(path, text);
    this.#sync(`fsync ${path}`, [this.#need(path)]);
  }

  async copyTree(from: string, to: string): Promise<void> {
    const tree = this.#disk.tree(from);
    if (tree === undefined) throw new SystemError("open", errno.ENOENT, from);
    this.plant(to, tree);
    await Promise.resolve();
  }

  async emptyFolder(path: string): Promise<number> {
    await Promise.resolve();
    this.#empty(this.#need(path));
    return 0;
  }

  syncFolder(path: string): void {
    this.#sync(`fsync ${path}`, [this.#folder(path)]);
  }

  syncAll(path: string): void {
    this.#need(path);
    this.#sync("syncfs", "everything");
  }

  lock(path: string): boolean {
    if (!this.exists(path)) this.#make(path, "file");
    return true;
  }

  /** Files and folders as a child makes them: nothing of it is synced. */
  plant(path: string, tree: Tree | string): void {
    if (typeof tree === "string") return this.#write(path, tree);
    this.makeFolder(path);
    for (const [name, child] of Object.entries(tree)) this.plant(join(path, name), child);
  }

  /** With all that is in it. */
  remove(path: string): void {
    const node = this.#need(path);
    this.#empty(node);
    this.#setNames(`remove ${path}`, [{ ...this.#place(path), node: undefined }]);
  }

  #empty(folder: number): void {
    for (const [name, node] of this.#disk.folder(folder)?.names ?? []) {
      this.#empty(node);
      this.#setNames(`remove ${name}`, [{ folder, name, node: undefined }]);
    }
  }

  #write(path: string, text: string): void {
    if (!this.exists(path)) this.#make(path, "file");
    const node = this.#need(path);
    const blocks = toBlocks(text);
    this.#change(`write ${path}`, {
      touches: [node],
      apply: (disk, random) => {
        const old = disk.blocks(node);
        if (old !== undefined)
          disk.setBlocks(node, random === undefined ? blocks : unsynced(old, blocks, random));
      },
    });
  }

  #make(path: string, kind: "file" | "folder"): void {
    const node = this.#nextNode++;
    const born = (disk: CrashDisk): void =>
      kind === "folder" ? disk.makeFolder(node) : disk.setBlocks(node, []);
    this.#setNames(`make ${path}`, [{ ...this.#place(path), node }], born);
  }

  #setNames(words: string, names: readonly Name[], born?: (disk: CrashDisk) => void): void {
    const keys = names.map(({ folder, name }) => `${folder}/${name}`);
    const change = this.#change(words, {
      touches: names.map(({ folder }) => folder),
      needs: keys.map((key) => this.#lastOfName.get(key)).filter((last) => last !== undefined),
      apply: (disk) => {
        born?.(disk);
        for (const { folder, name, node } of names) {
          if (node === undefined) disk.folder(folder)?.names.delete(name);
          else disk.folder(folder)?.names.set(name, node);
        }
      },
    });
    for (const key of keys) this.#lastOfName.set(key, change);
  }

  #change(words: string, what: Pick<Change, "touches" | "apply"> & Partial<Change>): Change {
    this.#steps.push(words);
    const change: Change = { needs: [], step: this.steps, durableStep: Infinity, ...what };
    this.#journal.push(change);
    change.apply(this.#disk, undefined);
    return change;
  }

  #sync(words: string, nodes: readonly number[] | "everything"): void {
    this.#steps.push(words);
    for (const change of this.#journal)
      if (nodes === "everything" || change.touches.some((node) => nodes.includes(node)))
        makeDurable(change, this.steps);
  }

  #place(path: string): { readonly folder: number; readonly name: string } {
    const at = path.lastIndexOf("/");
    return { folder: this.#folder(path.slice(0, at)), name: path.slice(at + 1) };
  }

  #need(path: string): number {
    const node = this.#disk.node(path);
    if (node === undefined) throw new SystemError("open", errno.ENOENT, path);
    return node;
  }

  #folder(path: string): number {
    const node = this.#need(path);
    if (this.#disk.folder(node) === undefined) throw new SystemError("open", errno.ENOTDIR, path);
    return node;
  }
}

interface Change {
  readonly step: number;
  /** Files and folders whose fsync makes it last. */
  readonly touches: readonly number[];
  /** Changes that are on the disk whenever this one is. */
  readonly needs: readonly Change[];
  durableStep: number;
  /** With a source of chance: as something that nobody synced. */
  readonly apply: (disk: CrashDisk, random: Random | undefined) => void;
}

interface Name {
  readonly folder: number;
  readonly name: string;
  readonly node: number | undefined;
}

function makeDurable(change: Change, step: number): void {
  if (change.durableStep !== Infinity) return;
  change.durableStep = step;
  for (const earlier of change.needs) makeDurable(earlier, step);
}

function unsynced(old: Blocks, written: Blocks, random: Random): Blocks {
  const chance = random();
  if (chance < 0.25) return written;
  if (chance < 0.5) return [];
  return written.map((block, index) => {
    const which = random() * 3;
    return which < 1 ? block : which < 2 ? (old[index] ?? zeroBlock) : zeroBlock;
  });
}

export const errno = { ENOENT: 2, EIO: 5, EEXIST: 17, ENOTDIR: 20, ENOSPC: 28, ENOTEMPTY: 39 };
