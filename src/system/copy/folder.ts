import type { FileLook } from "../file-look.ts";
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
  /** A new file for reading and writing; of the mode stays what the umask leaves of it. */
  create(name: Uint8Array, mode: number): number;
  /** One that is there or is made new, for reading and writing and for its owner alone. */
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

/** What a new file has of a mode. Most lose nothing, and a call for each of many small files counts. */
export function createdMode(mode: number): number {
  umask ??= process.umask();
  return mode & 0o777 & ~umask;
}

/** Asked for once: nothing here changes it, and to ask is two system calls. */
let umask: number | undefined;
