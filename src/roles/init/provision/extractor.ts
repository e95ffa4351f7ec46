import { ftruncateSync, writeSync } from "node:fs";
import * as system from "../../../system/filesystem.ts";
import { SpaceGuard } from "./disk-full.ts";
import { about, duplicate, missingTarget, nameOf } from "./extraction-error.ts";
import { FolderCache, strictResolve } from "./folder-cache.ts";
import { provisionLimits, type ProvisionLimits } from "./limits.ts";
import { PendingFolders } from "./pending-folders.ts";
import { Skipped } from "./skipped.ts";
import { bytesOf, printable } from "../../../system/archive/tar/byte-string.ts";
import type { TarEntry } from "../../../system/archive/tar/entry.ts";
import type { TarEvent } from "../../../system/archive/tar/reader.ts";
import { TarRefusal } from "../../../system/archive/tar/refusal.ts";
import { splitXattrs } from "../../../system/archive/tar/xattr-policy.ts";

export interface Extraction {
  readonly entries: number;
  readonly writtenBytes: number;
  readonly skipped: readonly string[];
}

/** The system calls of extraction; tests put failing ones in their place. */
export type ExtractorSystem = Pick<
  typeof system,
  | "openat2"
  | "closeFile"
  | "mkdirat"
  | "mkfifoat"
  | "symlinkat"
  | "linkat"
  | "fchown"
  | "lchownat"
  | "fchmod"
  | "fchmodat"
  | "futimes"
  | "lutimesat"
  | "fsetxattr"
  | "startWriting"
> & { readonly write: typeof writeSync; readonly ftruncate: typeof ftruncateSync };

const realSystem: ExtractorSystem = { ...system, write: writeSync, ftruncate: ftruncateSync };

interface OpenFile {
  readonly fd: number;
  readonly entry: TarEntry;
  /** Where the next byte goes, and how far the file reaches on disk: less, behind a hole. */
  position: number;
  writtenTo: number;
  /** The disk was told of all before. */
  startedTo: number;
}

/**
 * Events of a tar reader -> files below an empty folder. Everything is made anew (O_EXCL, mkdir,
 * link); nothing that exists is opened for writing, so no entry can write through another.
 * Owner before mode (chown clears setuid), capabilities after both, all on the open file.
 * Throws `TarRefusal`, `DiskFull` or `SystemError`; then the folder is to be thrown away.
 */
export class Extractor {
  readonly #rootFd: number;
  readonly #system: ExtractorSystem;
  readonly #space: SpaceGuard;
  readonly #limits: ProvisionLimits;
  readonly #folders: FolderCache;
  readonly #skipped = new Skipped();
  readonly #pending: PendingFolders;
  /** Only root can give files away; others get what they unpack, as with tar. */
  readonly #setsOwners = process.geteuid?.() === 0;
  #file: OpenFile | undefined;
  #entries = 0;
  #writtenBytes = 0;

  constructor(
    rootFd: number,
    options: { readonly limits?: ProvisionLimits; readonly system?: ExtractorSystem } = {},
  ) {
    this.#rootFd = rootFd;
    const limits = options.limits ?? provisionLimits;
    this.#limits = limits;
    this.#system = options.system ?? realSystem;
    this.#space = new SpaceGuard(rootFd, limits);
    this.#pending = new PendingFolders(limits);
    this.#folders = new FolderCache(rootFd, limits.openFoldersMax, (path) => {
      this.#pending.add({ path, mode: 0o755 });
    });
    // Of a root the archive does not mention; staging itself is closed to everybody else.
    this.#pending.add({ path: "", mode: 0o755 });
  }

  get entries(): number {
    return this.#entries;
  }

  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  accept(event: TarEvent): void {
    switch (event.kind) {
      case "entry":
        this.#entries++;
        about(event.entry, () => this.#create(event.entry));
        for (const key of event.entry.lost) {
          this.#skipped.add(`PAX ${printable(key, 40)}`, nameOf(event.entry));
        }
        break;
      case "data":
        this.#write(event.bytes);
        break;
      case "hole":
        this.#openFile().position += event.sizeBytes;
        break;
      case "file-end":
        this.#endFile();
        break;
    }
  }

  /** After the last event: folders get their modes and times. */
  finish(): Extraction {
    this.#folders.close();
    for (const { path, mode, mtime } of this.#pending.deepestFirst()) {
      const fd = this.#openDirectory(this.#rootFd, path === "" ? "." : bytesOf(path));
      try {
        this.#system.fchmod(fd, mode);
        if (mtime !== undefined) this.#system.futimes(fd, mtime);
      } finally {
        this.#system.closeFile(fd);
      }
    }
    return {
      entries: this.#entries,
      writtenBytes: this.#writtenBytes,
      skipped: this.#skipped.lines(),
    };
  }

  /** Closes what is open, in whatever state. */
  abandon(): void {
    this.#folders.close();
    if (this.#file !== undefined) this.#system.closeFile(this.#file.fd);
    this.#file = undefined;
  }

  #create(entry: TarEntry): void {
    this.#space.reserve(entry.kind === "file" ? entry.storedBytes : 0);
    switch (entry.kind) {
      case "file":
        return this.#beginFile(entry);
      case "directory":
        return this.#makeDirectory(entry);
      case "symlink":
        return this.#makeSymlink(entry);
      case "hardlink":
        return this.#makeHardlink(entry);
      case "fifo":
        return this.#makeFifo(entry);
      case "device":
        return this.#skipped.add(`${entry.device} device`, nameOf(entry));
    }
  }

  #beginFile(entry: TarEntry): void {
    const { fd: folder, name } = this.#folders.parentOf(entry.path);
    const { writeOnly, create, exclusive, noFollow } = system.openFlags;
    const flags = writeOnly | create | exclusive | noFollow;
    const fd = this.#system.openat2(folder, name, { flags, mode: 0o600, resolve: strictResolve });
    this.#file = { fd, entry, position: 0, writtenTo: 0, startedTo: 0 };
  }

  #write(bytes: Uint8Array): void {
    const file = this.#openFile();
    about(file.entry, () => {
      let at = 0;
      while (at < bytes.length) {
        const position = file.position + at;
        at += this.#system.write(file.fd, bytes, at, bytes.length - at, position);
      }
    });
    file.position += bytes.length;
    file.writtenTo = file.position;
    this.#writtenBytes += bytes.length;
    this.#startWriting(file, this.#limits.writebackBytes);
  }

  /** The disk works while the rest arrives, not when all is there; what is small is left to the kernel. */
  #startWriting(file: OpenFile, bytesMin: number): void {
    const { fd, startedTo, writtenTo } = file;
    if (writtenTo - startedTo < bytesMin) return;
    this.#system.startWriting(fd, startedTo, writtenTo - startedTo);
    file.startedTo = writtenTo;
  }

  #endFile(): void {
    const file = this.#openFile();
    const { fd, entry, position, writtenTo } = file;
    about(entry, () => {
      if (position > writtenTo) this.#system.ftruncate(fd, position);
      this.#dress(fd, entry);
      this.#system.futimes(fd, entry.mtime);
    });
    this.#startWriting(file, this.#limits.writebackBytesMin);
    this.#file = undefined;
    this.#system.closeFile(fd);
  }

  #makeDirectory(entry: TarEntry): void {
    if (entry.path === "") return this.#dressDirectory(this.#rootFd, ".", entry);
    const { fd: folder, name } = this.#folders.parentOf(entry.path);
    try {
      this.#system.mkdirat(folder, name, 0o700);
    } catch (error) {
      // Twice the same folder is common (and a parent made on the way); anything else fails to open below.
      if (!system.hasCode(error, "EEXIST")) throw error;
    }
    this.#dressDirectory(folder, name, entry);
  }

  #dressDirectory(folder: number, name: system.FileName, entry: TarEntry): void {
    const fd = this.#openDirectory(folder, name);
    try {
      this.#own(fd, entry);
      this.#setXattrs(fd, entry);
    } finally {
      this.#system.closeFile(fd);
    }
    this.#pending.add(entry);
  }

  #openDirectory(folder: number, name: system.FileName): number {
    const { readOnly, directory, noFollow } = system.openFlags;
    const flags = readOnly | directory | noFollow;
    try {
      return this.#system.openat2(folder, name, { flags, resolve: strictResolve });
    } catch (error) {
      if (system.hasCode(error, "ENOTDIR", "ELOOP")) throw duplicate();
      throw error;
    }
  }

  #makeSymlink(entry: TarEntry & { readonly kind: "symlink" }): void {
    const { fd: folder, name } = this.#folders.parentOf(entry.path);
    this.#system.symlinkat(bytesOf(entry.target), folder, name);
    if (this.#givesAway(entry)) this.#system.lchownat(folder, name, entry.uid, entry.gid);
    this.#system.lutimesat(folder, name, entry.mtime);
    this.#skipXattrs(entry);
  }

  /** A second name only: the link's own mode and owner are ignored, or it could change the target's. */
  #makeHardlink(entry: TarEntry & { readonly kind: "hardlink" }): void {
    const target = this.#folders.existingParentOf(entry.target);
    if (target === undefined) throw missingTarget(entry.target);
    const { fd: folder, name } = this.#folders.parentOf(entry.path);
    try {
      this.#system.linkat({ folder: target.fd, name: target.name }, { folder, name });
    } catch (error) {
      if (system.hasCode(error, "ENOENT", "EPERM")) throw missingTarget(entry.target);
      if (system.hasCode(error, "EMLINK")) {
        throw new TarRefusal("E_LIMIT_LINKS", "More hard links to one file than the disk can hold");
      }
      throw error;
    }
  }

  #makeFifo(entry: TarEntry): void {
    const { fd: folder, name } = this.#folders.parentOf(entry.path);
    this.#system.mkfifoat(folder, name, 0o600);
    if (this.#givesAway(entry)) this.#system.lchownat(folder, name, entry.uid, entry.gid);
    this.#system.fchmodat(folder, name, entry.mode);
    this.#system.lutimesat(folder, name, entry.mtime);
    this.#skipXattrs(entry);
  }

  #dress(fd: number, entry: TarEntry): void {
    this.#own(fd, entry);
    this.#system.fchmod(fd, entry.mode);
    this.#setXattrs(fd, entry);
  }

  #own(fd: number, entry: TarEntry): void {
    if (this.#givesAway(entry)) this.#system.fchown(fd, entry.uid, entry.gid);
  }

  /** What root makes is root's already. */
  #givesAway(entry: TarEntry): boolean {
    if (entry.uid === 0 && entry.gid === 0) return false;
    if (!this.#setsOwners) this.#skipped.add("owner", nameOf(entry));
    return this.#setsOwners;
  }

  #setXattrs(fd: number, entry: TarEntry): void {
    const choice = splitXattrs(entry.xattrs);
    for (const name of choice.skipped)
      this.#skipped.add(`attribute ${printable(name, 40)}`, nameOf(entry));
    for (const [name, value] of choice.set) {
      try {
        this.#system.fsetxattr(fd, bytesOf(name), value);
      } catch (error) {
        if (!system.hasCode(error, "ENOTSUP", "EOPNOTSUPP", "EPERM", "E2BIG", "EINVAL"))
          throw error;
        this.#skipped.add(`attribute ${printable(name, 40)} (refused by the disk)`, nameOf(entry));
      }
    }
  }

  /** Links and FIFOs cannot have those that matter, and there is no call for them relative to a folder. */
  #skipXattrs(entry: TarEntry): void {
    for (const name of entry.xattrs.keys()) {
      this.#skipped.add(`attribute ${printable(name, 40)} on a ${entry.kind}`, nameOf(entry));
    }
  }

  #openFile(): OpenFile {
    if (this.#file === undefined) throw new TypeError("File data without a file");
    return this.#file;
  }
}
