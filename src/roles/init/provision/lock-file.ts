import { closeSync, openSync } from "node:fs";
import { tryLock } from "../../../system/file-lock.ts";
import { openFlags } from "../../../system/filesystem.ts";

/** By path: a lock belongs to the process that asked first and goes with it, however it ends. */
const held = new Map<string, number>();

/** False where another process has it; asking again in the same process is fine. */
export function lockFile(path: string): boolean {
  if (held.has(path)) return true;
  // For writing: while it is open the kernel lets no shutdown script of a workload make the volume read-only.
  const flags = openFlags.create | openFlags.writeOnly | openFlags.closeOnExec;
  const fd = openSync(path, flags, 0o600);
  if (tryLock(fd)) {
    held.set(path, fd);
    return true;
  }
  closeSync(fd);
  return false;
}

export function unlockFile(path: string): void {
  const fd = held.get(path);
  if (fd === undefined) return;
  held.delete(path);
  closeSync(fd);
}
