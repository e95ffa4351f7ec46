import { check, cString, cStruct, momentaryCString, openLibc } from "./libc.ts";

/**
 * File system calls that node:fs has no name for: relative to directory descriptors, never following
 * links, and the ones a crash-safe exchange needs. All throw `SystemError`. Names are text (UTF-8)
 * or raw bytes. Linux, 64 bit.
 */
export type FileName = string | Uint8Array;

/** Flags with the same value on x86-64 and arm64 come from here; the others are asked of node:fs. */
export const openFlags = {
  readOnly: 0,
  writeOnly: 1,
  create: 0o100,
  exclusive: 0o200,
  closeOnExec: 0o2000000,
  path: 0o10000000,
  ...(process.arch === "arm64"
    ? { directory: 0o40000, noFollow: 0o100000 }
    : { directory: 0o200000, noFollow: 0o400000 }),
} as const;

/** RESOLVE_* of openat2(2). */
export const resolveFlags = {
  noMagicLinks: 0x02,
  noSymlinks: 0x04,
  beneath: 0x08,
  inRoot: 0x10,
} as const;

export const renameFlags = { noReplace: 1, exchange: 2 } as const;

/** Relative to the current folder; absolute paths ignore it. */
export const currentFolder = -100;

const noFollow = 0x100;
const openat2Number = 437;
const fifoType = 0o010000;

export function openat2(
  folder: number,
  name: FileName,
  how: { readonly flags: number; readonly mode?: number; readonly resolve?: number },
): number {
  const path = momentaryCString(name);
  const { request, view } = openHow;
  view.setUint32(0, how.flags | openFlags.closeOnExec, true);
  view.setUint32(8, how.mode ?? 0, true);
  view.setUint32(16, how.resolve ?? 0, true);
  return check(
    "openat2",
    () => libc().syscall(openat2Number, folder, path, request, request.length),
    name,
  );
}

/** struct open_how; all that is ever set fits into the lower halves of its three numbers. */
const openHow = structWithView(24);

export function mkdirat(folder: number, name: FileName, mode: number): void {
  const path = momentaryCString(name);
  check("mkdirat", () => libc().mkdirat(folder, path, mode), name);
}

export function mkfifoat(folder: number, name: FileName, mode: number): void {
  const path = momentaryCString(name);
  check("mknodat", () => libc().mknodat(folder, path, fifoType | mode, 0), name);
}

export function symlinkat(target: FileName, folder: number, name: FileName): void {
  const content = momentaryCString(target);
  const path = momentaryCString(name, 1);
  check("symlinkat", () => libc().symlinkat(content, folder, path), name);
}

/** A second name for a file; a symbolic link is linked itself, not what it points to. */
export function linkat(
  from: { readonly folder: number; readonly name: FileName },
  to: { readonly folder: number; readonly name: FileName },
): void {
  const oldPath = momentaryCString(from.name);
  const newPath = momentaryCString(to.name, 1);
  check("linkat", () => libc().linkat(from.folder, oldPath, to.folder, newPath, 0), to.name);
}

export function unlinkat(folder: number, name: FileName, options: { directory: boolean }): void {
  const path = momentaryCString(name);
  const flags = options.directory ? 0x200 : 0;
  check("unlinkat", () => libc().unlinkat(folder, path, flags), name);
}

export function renameat2(
  from: { readonly folder: number; readonly name: FileName },
  to: { readonly folder: number; readonly name: FileName },
  flags: number,
): void {
  const oldPath = momentaryCString(from.name);
  const newPath = momentaryCString(to.name, 1);
  check(
    "renameat2",
    () => libc().renameat2(from.folder, oldPath, to.folder, newPath, flags),
    to.name,
  );
}

/** Where the link leads that `fd` is (opened with `path` and `noFollow`). */
export function readlinkat(fd: number): Buffer {
  const here = cString("");
  const target = cStruct(4096);
  const length = check("readlinkat", () => libc().readlinkat(fd, here, target, target.length));
  return Buffer.from(target.subarray(0, length));
}

/** Owner of the link itself where `name` is one. */
export function lchownat(folder: number, name: FileName, uid: number, gid: number): void {
  const path = cString(name);
  check("fchownat", () => libc().fchownat(folder, path, uid, gid, noFollow), name);
}

export function fchown(fd: number, uid: number, gid: number): void {
  check("fchown", () => libc().fchown(fd, uid, gid));
}

/** Follows links: only for names the caller has just made as something else. */
export function fchmodat(folder: number, name: FileName, mode: number): void {
  const path = cString(name);
  check("fchmodat", () => libc().fchmodat(folder, path, mode, 0), name);
}

export function fchmod(fd: number, mode: number): void {
  check("fchmod", () => libc().fchmod(fd, mode));
}

export interface FileTime {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** Sets both times of the name itself, not of what a link points to. */
export function lutimesat(folder: number, name: FileName, time: FileTime): void {
  const path = cString(name);
  const times = timespecs(time);
  check("utimensat", () => libc().utimensat(folder, path, times, noFollow), name);
}

export function futimes(fd: number, time: FileTime): void {
  const times = timespecs(time);
  check("futimens", () => libc().futimens(fd, times));
}

export function fsetxattr(fd: number, name: FileName, value: Uint8Array): void {
  const attribute = cString(name);
  const content = cStruct(value.length);
  content.set(value);
  check("fsetxattr", () => libc().fsetxattr(fd, attribute, content, content.length, 0), name);
}

/** Undefined where the attribute is not set or the file system knows none. */
export function fgetxattr(fd: number, name: FileName): Uint8Array | undefined {
  const attribute = cString(name);
  const content = cStruct(64 * 1024);
  try {
    const length = check(
      "fgetxattr",
      () => libc().fgetxattr(fd, attribute, content, content.length),
      name,
    );
    return content.slice(0, length);
  } catch (error) {
    if (hasCode(error, "ENODATA", "ENOTSUP", "EOPNOTSUPP")) return undefined;
    throw error;
  }
}

/** Writes everything of this file system to disk and reports errors of doing so. Blocks, possibly for long. */
export function syncfs(fd: number): void {
  check("syncfs", () => libc().syncfs(fd));
}

/** The disk begins to write what was written to a file, and nobody waits for it. A hint: errors show at the next sync. */
export function startWriting(fd: number, offset: number, length: number): void {
  libc().sync_file_range(fd, BigInt(offset), BigInt(length), startWritingFlag);
}

const startWritingFlag = 2;

export interface FreeSpace {
  /** For users other than root; the reserve of ext4 is not ours to use up. */
  readonly bytes: number;
  /** Infinity on file systems without a fixed number of them. */
  readonly inodes: number;
}

export function freeSpace(fd: number): FreeSpace {
  const result = cStruct(128);
  check("fstatvfs", () => libc().fstatvfs(fd, result));
  const view = new DataView(result.buffer);
  const word = (index: number) => Number(view.getBigUint64(index * 8, true));
  // f_bsize, f_frsize, f_blocks, f_bfree, f_bavail, f_files, f_ffree, f_favail
  return { bytes: word(1) * word(4), inodes: word(5) === 0 ? Infinity : word(7) };
}

export function closeFile(fd: number): void {
  check("close", () => libc().close(fd));
}

/** From here on `/` is the folder, for all threads. Needs root. */
export function chrootTo(fd: number): void {
  check("fchdir", () => libc().fchdir(fd));
  const here = cString(".");
  check("chroot", () => libc().chroot(here));
}

/** True for our own errors and node's alike, when the code is one of these. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  if (!(error instanceof Error) || !("code" in error)) return false;
  return typeof error.code === "string" && codes.includes(error.code);
}

function timespecs(time: FileTime): Uint8Array<ArrayBuffer> {
  const { request, view } = twoTimes;
  for (let at = 0; at <= 16; at += 16) {
    view.setBigInt64(at, BigInt(time.seconds), true);
    view.setUint32(at + 8, time.nanoseconds, true);
  }
  return request;
}

const twoTimes = structWithView(32);

function structWithView(sizeBytes: number): {
  readonly request: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
} {
  const request = cStruct(sizeBytes);
  return { request, view: new DataView(request.buffer) };
}

let opened: ReturnType<typeof openSymbols> | undefined;

function libc(): ReturnType<typeof openSymbols> {
  return (opened ??= openSymbols());
}

function openSymbols() {
  return openLibc({
    syscall: { args: ["i64", "i64", "ptr", "ptr", "u64"], returns: "i64" },
    mkdirat: { args: ["i32", "ptr", "u32"], returns: "i32" },
    mknodat: { args: ["i32", "ptr", "u32", "u64"], returns: "i32" },
    symlinkat: { args: ["ptr", "i32", "ptr"], returns: "i32" },
    readlinkat: { args: ["i32", "ptr", "ptr", "u64"], returns: "i64" },
    linkat: { args: ["i32", "ptr", "i32", "ptr", "i32"], returns: "i32" },
    unlinkat: { args: ["i32", "ptr", "i32"], returns: "i32" },
    renameat2: { args: ["i32", "ptr", "i32", "ptr", "u32"], returns: "i32" },
    fchownat: { args: ["i32", "ptr", "u32", "u32", "i32"], returns: "i32" },
    fchown: { args: ["i32", "u32", "u32"], returns: "i32" },
    fchmodat: { args: ["i32", "ptr", "u32", "i32"], returns: "i32" },
    fchmod: { args: ["i32", "u32"], returns: "i32" },
    utimensat: { args: ["i32", "ptr", "ptr", "i32"], returns: "i32" },
    futimens: { args: ["i32", "ptr"], returns: "i32" },
    fsetxattr: { args: ["i32", "ptr", "ptr", "u64", "i32"], returns: "i32" },
    fgetxattr: { args: ["i32", "ptr", "ptr", "u64"], returns: "i64" },
    sync_file_range: { args: ["i32", "i64", "i64", "u32"], returns: "i32" },
    syncfs: { args: ["i32"], returns: "i32" },
    fstatvfs: { args: ["i32", "ptr"], returns: "i32" },
    close: { args: ["i32"], returns: "i32" },
    fchdir: { args: ["i32"], returns: "i32" },
    chroot: { args: ["ptr"], returns: "i32" },
  });
}
