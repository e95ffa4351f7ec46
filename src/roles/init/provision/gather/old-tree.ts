import { fstatSync, readSync } from "node:fs";
import { closeFile, openat2, openFlags } from "../../../../system/filesystem.ts";
import { strictResolve } from "../folder-cache.ts";
import type { PiecePlace } from "./piece-places.ts";

/**
 * Files of the tree that is to be replaced, and may change while it is read: its processes still run.
 * Paths are opened from its root, never through a link, and what is no plain file is not opened at all.
 */
export class OldTree {
  readonly #rootFd: number;
  #open: { readonly file: number; readonly fd: number } | undefined;

  constructor(rootFd: number) {
    this.#rootFd = rootFd;
  }

  /** Bytes that were seen there before; false where they cannot be read any more. One file stays open for the next. */
  read(place: PiecePlace, into: Uint8Array): boolean {
    try {
      const fd = this.#fileOf(place);
      return fd !== undefined && readWhole(fd, into, place.offset);
    } catch (error) {
      if (isTroubleWithFile(error)) return false;
      throw error;
    }
  }

  close(): void {
    if (this.#open !== undefined) closeFile(this.#open.fd);
    this.#open = undefined;
  }

  #fileOf({ file, path }: PiecePlace): number | undefined {
    if (this.#open?.file === file) return this.#open.fd;
    this.close();
    const opened = openInTree(this.#rootFd, path);
    if (opened?.kind === "folder") closeFile(opened.fd);
    if (opened?.kind !== "file") return undefined;
    this.#open = { file, fd: opened.fd };
    return opened.fd;
  }
}

function readWhole(fd: number, into: Uint8Array, offset: number): boolean {
  for (let at = 0; at < into.length;) {
    const read = readSync(fd, into, at, into.length - at, offset + at);
    if (read === 0) return false;
    at += read;
  }
  return true;
}

/** Somebody took it away, made a link of it, holds a lease on it, or the disk has lost a block: others are looked at. */
export function isTroubleWithFile(error: unknown): boolean {
  return error instanceof Error && "syscall" in error;
}

export interface OpenedEntry {
  readonly kind: "folder" | "file";
  readonly fd: number;
}

/**
 * A folder or a plain file, opened; undefined for anything else, and for a file with holes, which would be
 * read for long and match nothing. Looked at first: to open a FIFO would wake who waits at its other end.
 */
export function openInTree(folderFd: number, name: Uint8Array): OpenedEntry | undefined {
  const look = openat2(folderFd, name, { flags: openFlags.path | openFlags.noFollow, resolve });
  const isFolder = kindOf(look);
  if (isFolder === undefined) return undefined;
  const flags = openFlags.noFollow | nonBlocking | (isFolder ? openFlags.directory : 0);
  const fd = openat2(folderFd, name, { flags, resolve });
  if (isFolder) return { kind: "folder", fd };
  const status = fstatSync(fd);
  const isDense = status.size <= status.blocks * 512 + holeBytesMin;
  if (status.isFile() && isDense) return { kind: "file", fd };
  closeFile(fd);
  return undefined;
}

/** Closes it. */
function kindOf(fd: number): boolean | undefined {
  try {
    const status = fstatSync(fd);
    return status.isDirectory() ? true : status.isFile() ? false : undefined;
  } finally {
    closeFile(fd);
  }
}

const nonBlocking = 0o4000;
/** Nor into what is mounted there. */
const resolve = strictResolve | 0x01;
/** What a file system may keep elsewhere than in blocks. */
const holeBytesMin = 64 * 1024;
