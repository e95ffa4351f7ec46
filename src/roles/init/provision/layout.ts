import { closeSync, fstatSync } from "node:fs";
import {
  closeFile,
  fchmodat,
  hasCode,
  mkdirat,
  openat2,
  openFlags,
  resolveFlags,
} from "../../../system/filesystem.ts";
import { strictResolve } from "./folder-cache.ts";
import { TarRefusal } from "../../../system/archive/tar/refusal.ts";

/**
 * Where the boot mounts something or writes: real folders, or a mount would land wherever a link of
 * the image points. What is missing is made, with its usual mode.
 */
const folders: readonly { readonly name: string; readonly mode: number }[] = [
  { name: "dev", mode: 0o755 },
  { name: "proc", mode: 0o555 },
  { name: "sys", mode: 0o555 },
  { name: "run", mode: 0o755 },
  { name: "tmp", mode: 0o1777 },
  { name: "etc", mode: 0o755 },
  { name: "root", mode: 0o700 },
  { name: "home", mode: 0o755 },
];

const programs = ["sbin/init", "bin/sh"] as const;

/** Is this tree one that can be booted? Throws `TarRefusal` "E_LAYOUT". */
export function checkLayout(rootFd: number): void {
  for (const { name, mode } of folders) checkFolder(rootFd, name, mode);
  if (programs.some((program) => isProgram(rootFd, program))) return;
  throw new TarRefusal("E_LAYOUT", "The archive has neither /sbin/init nor /bin/sh");
}

function checkFolder(rootFd: number, name: string, mode: number): void {
  const flags = openFlags.path | openFlags.directory | openFlags.noFollow;
  try {
    closeFile(openat2(rootFd, name, { flags, resolve: strictResolve }));
  } catch (error) {
    if (hasCode(error, "ENOENT")) {
      mkdirat(rootFd, name, mode);
      // Once more, past the umask.
      fchmodat(rootFd, name, mode);
      return;
    }
    if (!hasCode(error, "ELOOP", "ENOTDIR")) throw error;
    throw new TarRefusal("E_LAYOUT", "It must be a directory, not a file or a link", `/${name}`);
  }
}

/** Through links as the booted system would see them: `/` is the root of the tree. */
function isProgram(rootFd: number, path: string): boolean {
  try {
    const fd = openat2(rootFd, path, { flags: openFlags.path, resolve: resolveFlags.inRoot });
    try {
      const status = fstatSync(fd);
      return status.isFile() && (status.mode & 0o111) !== 0;
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (hasCode(error, "ENOENT", "ELOOP", "ENOTDIR", "EXDEV")) return false;
    throw error;
  }
}
