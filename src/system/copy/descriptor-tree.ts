import { type BigIntStats, closeSync, fstatSync } from "node:fs";
import { currentFolder, openat2, openFlags, readlinkat, resolveFlags } from "../filesystem.ts";
import { listFolder } from "../folder-listing.ts";
import { copyLimits } from "./copy-limits.ts";
import type { SourceTree } from "./source-tree.ts";

/** What is below a folder, by its descriptor: links in there are never followed, and the folder stays the same one. Linux. */
export class DescriptorTree implements SourceTree {
  readonly #fd: number;
  readonly #path: Buffer;
  #holders = 1;

  private constructor(fd: number, path: Buffer) {
    this.#fd = fd;
    this.#path = path;
  }

  static open(path: Buffer, follow: boolean): DescriptorTree {
    const flags = openFlags.directory | (follow ? 0 : openFlags.noFollow);
    return new DescriptorTree(openat2(currentFolder, path, { flags }), path);
  }

  look(path: Buffer): BigIntStats {
    return this.#with(path, openFlags.path, (fd) => fstatSync(fd, { bigint: true }));
  }

  names(path: Buffer): Buffer[] {
    const most = copyLimits.folderEntriesMax + 1;
    return this.#with(path, openFlags.directory, (fd) => listFolder(fd, most));
  }

  target(path: Buffer): Buffer {
    return this.#with(path, openFlags.path, readlinkat);
  }

  open(path: Buffer): number {
    return this.#open(path, openFlags.readOnly | nonBlocking);
  }

  hold(): void {
    this.#holders += 1;
  }

  release(): void {
    this.#holders -= 1;
    if (this.#holders === 0) closeSync(this.#fd);
  }

  #with<Result>(path: Buffer, flags: number, body: (fd: number) => Result): Result {
    const fd = this.#open(path, flags);
    try {
      return body(fd);
    } finally {
      closeSync(fd);
    }
  }

  #open(path: Buffer, flags: number): number {
    const hasSlash = this.#path.at(-1) === slash || this.#path.length === path.length;
    const below = path.subarray(this.#path.length + (hasSlash ? 0 : 1));
    return openat2(this.#fd, below.length === 0 ? "." : below, {
      flags: flags | openFlags.noFollow,
      resolve: resolveFlags.beneath | resolveFlags.noSymlinks,
    });
  }
}

const slash = 0x2f;
const nonBlocking = 0o4000;
