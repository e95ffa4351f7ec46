import type { FileTime } from "../filesystem.ts";

/**
 * A folder into which files are copied. Names are single ones, in bytes; nothing here follows a link,
 * so what somebody else puts in the way while we work leads nowhere. Throws what the system says.
 */
export interface Folder {
  /** Undefined where there is nothing of that name. */
  look(name: Uint8Array): FileLook | undefined;
  /** One that is there, and is no link. */
  enter(name: Uint8Array): Folder;
  make(name: Uint8Array): void;
  /** A new file for reading and writing, for its owner alone. */
  create(name: Uint8Array): number;
  /** One that is there or is made new, for reading and writing. */
  reopen(name: Uint8Array): number;
  /** For reading; never waits for the other end of a pipe. */
  open(name: Uint8Array): number;
  /** In place of what has the second name, which is no folder. */
  rename(from: Uint8Array, to: Uint8Array): void;
  link(target: Uint8Array, name: Uint8Array): void;
  remove(name: Uint8Array): void;
  setLinkTime(name: Uint8Array, time: FileTime): void;
  setFileTime(fd: number, time: FileTime): void;
  /** Its own mode and times; either may be left. */
  setOwn(mode: number | undefined, time: FileTime | undefined): void;
  /** All that was written on this file system reaches the disk. */
  sync(): void;
  close(): void;
}

export interface FileLook {
  readonly kind: "folder" | "file" | "link" | "other";
  readonly mode: number;
  readonly size: number;
  readonly uid: number;
  readonly gid: number;
}

export function lookOf(stats: import("node:fs").Stats): FileLook {
  const kind = stats.isDirectory()
    ? "folder"
    : stats.isFile()
      ? "file"
      : stats.isSymbolicLink()
        ? "link"
        : "other";
  return { kind, mode: stats.mode & 0o7777, size: stats.size, uid: stats.uid, gid: stats.gid };
}
