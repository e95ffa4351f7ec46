import { closeSync, fchmodSync } from "node:fs";
import { type FileLook, lookAt } from "../file-look.ts";
import {
  currentFolder,
  type FileTime,
  futimes,
  lutimesat,
  mkdirat,
  openat2,
  openFlags,
  renameat2,
  resolveFlags,
  symlinkat,
  syncfs,
  unlinkat,
} from "../filesystem.ts";
import type { Folder } from "./folder.ts";

/** A folder by its descriptor: it stays the same one whatever is done to its name meanwhile. Linux. */
export class DescriptorFolder implements Folder {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** By its path, following links. */
  static open(path: Uint8Array): DescriptorFolder {
    return new DescriptorFolder(openat2(currentFolder, path, { flags: openFlags.directory }));
  }

  look(name: Uint8Array): FileLook | undefined {
    return lookAt(this.#fd, name);
  }

  enter(name: Uint8Array): Folder {
    return new DescriptorFolder(this.#open(name, openFlags.directory));
  }

  make(name: Uint8Array): void {
    mkdirat(this.#fd, name, 0o700);
  }

  create(name: Uint8Array, mode: number): number {
    const flags = readWrite | openFlags.create | openFlags.exclusive;
    return this.#open(name, flags, mode);
  }

  reopen(name: Uint8Array): number {
    return this.#open(name, readWrite | openFlags.create | nonBlocking, 0o600);
  }

  open(name: Uint8Array): number {
    return this.#open(name, openFlags.readOnly | nonBlocking);
  }

  rename(from: Uint8Array, to: Uint8Array): void {
    const folder = this.#fd;
    renameat2({ folder, name: from }, { folder, name: to }, 0);
  }

  link(target: Uint8Array, name: Uint8Array): void {
    symlinkat(target, this.#fd, name);
  }

  remove(name: Uint8Array): void {
    unlinkat(this.#fd, name, { directory: false });
  }

  setLinkTime(name: Uint8Array, time: FileTime): void {
    lutimesat(this.#fd, name, time);
  }

  setFileTime(fd: number, time: FileTime): void {
    futimes(fd, time);
  }

  setOwn(mode: number | undefined, time: FileTime | undefined): void {
    if (mode !== undefined) fchmodSync(this.#fd, mode);
    if (time !== undefined) futimes(this.#fd, time);
  }

  sync(): void {
    syncfs(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }

  #open(name: Uint8Array, flags: number, mode = 0): number {
    const { beneath, noSymlinks } = resolveFlags;
    const resolve = beneath | noSymlinks;
    return openat2(this.#fd, name, { flags: flags | openFlags.noFollow, mode, resolve });
  }
}

const readWrite = 2;
const nonBlocking = 0o4000;
