import { hasCode } from "../../../system/filesystem.ts";
import type { DataVolume } from "./data-volume.ts";

let serial = 0;

/** Moves a tree out of the way in one step; a half-deleted one must never stand under a name that means something. */
export function throwAway({ fs, layout }: DataVolume, path: string): void {
  if (!fs.exists(path)) return;
  fs.makeFolder(layout.trash, 0o700);
  for (;;) {
    serial++;
    try {
      return fs.rename(path, `${layout.trash}/${process.pid}-${serial}`, "free");
    } catch (error) {
      if (hasCode(error, "ENOENT")) return;
      if (!hasCode(error, "EEXIST")) throw error;
    }
  }
}

/** Deletes what was thrown away, beside other work. What is left, it returns how much, stays for the next time. */
export async function emptyTrash({ fs, layout }: DataVolume): Promise<number> {
  const earlier = emptying.get(layout.trash) ?? Promise.resolve(0);
  const run = earlier
    .catch(() => 0)
    .then(() => {
      // First the names are gone for good: after a power cut nothing half-deleted may have its own again.
      fs.syncFolder(layout.dataDir);
      return fs.emptyFolder(layout.trash);
    });
  emptying.set(layout.trash, run);
  try {
    return await run;
  } finally {
    if (emptying.get(layout.trash) === run) emptying.delete(layout.trash);
  }
}

/** One after the other: two at once would count each other's names as stubborn. */
const emptying = new Map<string, Promise<number>>();
