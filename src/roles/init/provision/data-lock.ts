import { closeSync, mkdirSync, openSync } from "node:fs";
import { RemoteError } from "../../../protocol/errors.ts";
import { openFlags, tryLock } from "../../../system/filesystem.ts";
import type { DataLayout } from "./data-layout.ts";

/**
 * One init per volume. The lock belongs to the process that asked first and goes with it, however it
 * ends; asking again in the same process is fine.
 */
const held = new Map<string, number>();

export function holdVolume(layout: DataLayout): void {
  if (held.has(layout.lock)) return;
  mkdirSync(layout.own, { recursive: true, mode: 0o700 });
  // While there is room: a disk filled by an upload that was cut off is cleared by way of this folder.
  mkdirSync(layout.trash, { recursive: true, mode: 0o700 });
  // For writing: while it is open the kernel lets no shutdown script of a workload make the volume read-only.
  const fd = openSync(
    layout.lock,
    openFlags.create | openFlags.writeOnly | openFlags.closeOnExec,
    0o600,
  );
  if (tryLock(fd)) {
    held.set(layout.lock, fd);
    return;
  }
  closeSync(fd);
  throw new RemoteError(
    "busy",
    `Another init works on ${layout.dataDir}`,
    "Stop it first: two of them would destroy each other's work",
  );
}

export function releaseVolume(layout: DataLayout): void {
  const fd = held.get(layout.lock);
  if (fd === undefined) return;
  held.delete(layout.lock);
  closeSync(fd);
}
