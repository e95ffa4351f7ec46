import { ptr } from "bun:ffi";
import { check, cString, openLibc } from "./libc.ts";

/** Mounts, through the calls that take descriptors: a source is opened before the root changes and put in place after. */

export const mountFlags = {
  readOnly: 0x1,
  noSetuid: 0x2,
  noDevices: 0x4,
  noExec: 0x8,
  remount: 0x20,
  bind: 0x1000,
  recursive: 0x4000,
  private: 0x4_0000,
  strictAccessTime: 0x100_0000,
} as const;

export interface MountOptions {
  readonly source: string;
  readonly target: string;
  readonly type: string;
  readonly flags: number;
  readonly data?: string;
}

export function mount(options: MountOptions): void {
  const source = cString(options.source);
  const target = cString(options.target);
  const type = cString(options.type);
  const data = cString(options.data ?? "");
  check(
    "mount",
    () => libc().mount(ptr(source), ptr(target), ptr(type), BigInt(options.flags), ptr(data)),
    options.target,
  );
}

/** Nothing mounted here reaches the namespace we came from. */
export function makeMountsPrivate(): void {
  const flags = mountFlags.private | mountFlags.recursive;
  mount({ source: "none", target: "/", type: "none", flags });
}

export function bindMount(source: string, target: string): void {
  mount({ source, target, type: "none", flags: mountFlags.bind });
}

export function unmountLazily(target: string): void {
  const path = cString(target);
  check("umount2", () => libc().umount2(ptr(path), detach), target);
}

/**
 * The current folder, a mount point, becomes the root; the old root is stacked below it and then
 * let go. After this no path leads to the old root, whatever links the new one holds.
 */
export function pivotToCurrentFolder(): void {
  const here = cString(".");
  check("pivot_root", () => libc().pivot_root(ptr(here), ptr(here)));
  unmountLazily(".");
  process.chdir("/");
}

/** A detached copy of what is mounted at `path`, held by descriptor until `attachMount`. */
export function cloneMount(path: string): number {
  const name = cString(path);
  const flags = openTreeClone | closeOnExec;
  return check("open_tree", () => libc().open_tree(currentFolder, ptr(name), flags), path);
}

export function attachMount(mountFd: number, target: string): void {
  const empty = cString("");
  const name = cString(target);
  check(
    "move_mount",
    () => libc().move_mount(mountFd, ptr(empty), currentFolder, ptr(name), moveFromEmptyPath),
    target,
  );
}

/** A character device node; `mode` holds the permissions only. */
export function makeCharacterDevice(path: string, mode: number, device: Device): void {
  const name = cString(path);
  const number = (device.major << 8) | device.minor;
  const type = 0o020000;
  check("mknod", () => libc().mknod(ptr(name), type | mode, BigInt(number)), path);
}

export interface Device {
  readonly major: number;
  /** Below 256: larger ones are encoded differently. */
  readonly minor: number;
}

const detach = 2;
const currentFolder = -100;
const closeOnExec = 0o2000000;
const openTreeClone = 1;
const moveFromEmptyPath = 0x4;

let opened: ReturnType<typeof openMountCalls> | undefined;

function libc(): ReturnType<typeof openMountCalls> {
  opened ??= openMountCalls();
  return opened;
}

function openMountCalls() {
  return openLibc({
    mount: { args: ["ptr", "ptr", "ptr", "u64", "ptr"], returns: "i32" },
    umount2: { args: ["ptr", "i32"], returns: "i32" },
    pivot_root: { args: ["ptr", "ptr"], returns: "i32" },
    open_tree: { args: ["i32", "ptr", "u32"], returns: "i32" },
    move_mount: { args: ["i32", "ptr", "i32", "ptr", "u32"], returns: "i32" },
    mknod: { args: ["ptr", "u32", "u64"], returns: "i32" },
  });
}
