import { closeSync } from "node:fs";
import { type FileLook, lookAt } from "../file-look.ts";
import { currentFolder, openat2, openFlags, readlinkat, resolveFlags } from "../filesystem.ts";
import { listFolder } from "../folder-listing.ts";
import { SystemError } from "../libc.ts";
import { copyLimits } from "./copy-limits.ts";
import { pathText } from "./path-bytes.ts";
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

  look(path: Buffer): FileLook {
    const place = this.#placeOf(path);
    const look = lookAt(place.folder, place.name);
    if (look === undefined) throw new SystemError("statx", noSuchName, pathText(path));
    return look;
  }

  names(path: Buffer): Buffer[] {
    const most = copyLimits.folderEntriesMax + 1;
    return this.#with(path, openFlags.directory, (fd) => listFolder(fd, most));
  }

  target(path: Buffer): Buffer {
    return this.#with(path, openFlags.path, readlinkat);
  }

  open(path: Buffer): number {
    const place = this.#placeOf(path);
    return openBelow(place.folder, place.name, openFlags.readOnly | nonBlocking);
  }

  hold(): void {
    this.#holders += 1;
  }

  release(): void {
    this.#holders -= 1;
    if (this.#holders > 0) return;
    if (last?.tree === this) leaveLast();
    closeSync(this.#fd);
  }

  #with<Result>(path: Buffer, flags: number, body: (fd: number) => Result): Result {
    const fd = openBelow(this.#fd, this.#below(path), flags);
    try {
      return body(fd);
    } finally {
      closeSync(fd);
    }
  }

  /** The folder that it is in stays open until another is asked for: names of one folder come in a row. */
  #placeOf(path: Buffer): { readonly folder: number; readonly name: Uint8Array } {
    const below = this.#below(path);
    const end = below.lastIndexOf(slash);
    if (end < 0) return { folder: this.#fd, name: below };
    const folder = below.subarray(0, end);
    if (last?.tree !== this || !folder.equals(last.path)) {
      const fd = openBelow(this.#fd, folder, openFlags.directory | openFlags.path);
      leaveLast();
      last = { tree: this, path: Buffer.from(folder), fd };
    }
    return { folder: last.fd, name: below.subarray(end + 1) };
  }

  #below(path: Buffer): Buffer {
    const hasSlash = this.#path.at(-1) === slash || this.#path.length === path.length;
    const below = path.subarray(this.#path.length + (hasSlash ? 0 : 1));
    return below.length === 0 ? here : below;
  }
}

/** One for all trees: a thousand of them may be open. */
let last: { readonly tree: DescriptorTree; readonly path: Buffer; readonly fd: number } | undefined;

function leaveLast(): void {
  if (last !== undefined) closeSync(last.fd);
  last = undefined;
}

function openBelow(folder: number, path: Uint8Array, flags: number): number {
  return openat2(folder, path, {
    flags: flags | openFlags.noFollow,
    resolve: resolveFlags.beneath | resolveFlags.noSymlinks,
  });
}

const here = Buffer.from(".");
const noSuchName = 2;
const slash = 0x2f;
const nonBlocking = 0o4000;
