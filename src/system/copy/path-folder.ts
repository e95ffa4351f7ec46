import {
  chmodSync,
  closeSync,
  constants,
  fsyncSync,
  futimesSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
} from "node:fs";
import { type FileLook, lookOf } from "../file-look.ts";
import { hasCode, type FileTime } from "../filesystem.ts";
import { SystemError } from "../libc.ts";
import type { Folder } from "./folder.ts";
import { joinPath } from "./path-bytes.ts";

/**
 * A folder by its path, where there are no calls by descriptor (macOS). A folder is entered only after
 * a look that it is one and no link. What the other side sends cannot lead elsewhere; somebody with
 * rights to these folders, who changes them in just that moment, could.
 */
export class PathFolder implements Folder {
  readonly #path: Uint8Array;

  constructor(path: Uint8Array) {
    this.#path = path;
  }

  /** By its path, following links. */
  static open(path: Uint8Array): PathFolder {
    mustBeFolder(statSync(asPath(path)).isDirectory(), path);
    return new PathFolder(path);
  }

  look(name: Uint8Array): FileLook | undefined {
    try {
      return lookOf(lstatSync(this.#at(name), { bigint: true }));
    } catch (error) {
      if (hasCode(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  enter(name: Uint8Array): Folder {
    mustBeFolder(this.look(name)?.kind === "folder", name);
    return new PathFolder(joinPath(this.#path, name));
  }

  make(name: Uint8Array): void {
    mkdirSync(this.#at(name), 0o700);
  }

  create(name: Uint8Array, mode: number): number {
    const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    return openSync(this.#at(name), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  }

  reopen(name: Uint8Array): number {
    const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
    return openSync(this.#at(name), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
  }

  open(name: Uint8Array): number {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    return openSync(this.#at(name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  }

  rename(from: Uint8Array, to: Uint8Array): void {
    renameSync(this.#at(from), this.#at(to));
  }

  link(target: Uint8Array, name: Uint8Array): void {
    symlinkSync(asPath(target), this.#at(name));
  }

  remove(name: Uint8Array): void {
    unlinkSync(this.#at(name));
  }

  setLinkTime(name: Uint8Array, time: FileTime): void {
    lutimesSync(this.#at(name), inSeconds(time), inSeconds(time));
  }

  setFileTime(fd: number, time: FileTime): void {
    futimesSync(fd, inSeconds(time), inSeconds(time));
  }

  setOwn(mode: number | undefined, time: FileTime | undefined): void {
    const path = asPath(this.#path);
    if (mode !== undefined) chmodSync(path, mode);
    if (time !== undefined) utimesSync(path, inSeconds(time), inSeconds(time));
  }

  /** There is no call for all of a file system; that of a folder brings the names in it. */
  sync(): void {
    const fd = openSync(asPath(this.#path), constants.O_RDONLY);
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  close(): void {
    // It holds nothing.
  }

  #at(name: Uint8Array): Buffer {
    return asPath(joinPath(this.#path, name));
  }
}

function asPath(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function inSeconds({ seconds, nanoseconds }: FileTime): number {
  return seconds + nanoseconds / 1e9;
}

function mustBeFolder(is: boolean, path: Uint8Array): void {
  if (!is) throw new SystemError("open", 20, Buffer.from(path).toString("utf8"));
}
