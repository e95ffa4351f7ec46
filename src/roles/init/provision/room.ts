import { RemoteError } from "../../../protocol/errors.ts";
import type { DataVolume } from "./data-volume.ts";
import { provisionLimits } from "./limits.ts";
import { completeMark } from "./mark.ts";
import { emptyTrash, throwAway } from "./trash.ts";

/** What is known of what comes. */
export interface Coming {
  readonly archiveBytes?: number | undefined;
  /** Of one in pieces: its tar stream. Less may be written, for names and padding are no contents. */
  readonly tarBytes?: number | undefined;
}

/**
 * The previous tree is a convenience: where both would not fit it gives way to the new one. Otherwise
 * nothing is deleted now: ext4 is slow to make files right after it deleted many. Throws `RemoteError`
 * "disk-full".
 */
export async function makeRoom(volume: DataVolume, coming: Coming = {}): Promise<void> {
  const { fs, layout, log } = volume;
  const { archiveBytes = 0, tarBytes = 0 } = coming;
  const previous = completeMark(fs, layout.previous);
  const live = completeMark(fs, layout.rootfs);
  // The new tree will be about as large as the others, or as its archive inflates to.
  const inflated = archiveBytes * provisionLimits.inflationExpected;
  const guess = Math.max(live?.bytes ?? 0, previous?.bytes ?? 0, inflated);
  const wanted = Math.max(
    guess * provisionLimits.roomFactor,
    tarBytes / provisionLimits.freeShareMax,
    provisionLimits.roomBytesMin,
  );
  if (fs.freeBytes(layout.dataDir) > wanted) return;
  // What is being deleted since the last time still takes room.
  await emptyTrash(volume);
  const free = fs.freeBytes(layout.dataDir);
  const inPrevious = (previous?.bytes ?? Infinity) * provisionLimits.roomFactor;
  // Not for a tree that would not fit all the same.
  if (previous !== undefined && free <= wanted && tarBytes <= free + inPrevious) {
    refuseWithoutRoom(free, archiveBytes, inPrevious);
    log("info", "provision-previous-dropped");
    throwAway(volume, layout.previous);
    await emptyTrash(volume);
  }
  refuseWithoutRoom(fs.freeBytes(layout.dataDir), archiveBytes);
}

/** A tree is hardly ever smaller than its archive. Better now than after an hour of upload. */
function refuseWithoutRoom(free: number, archiveBytes: number, toCome = 0): void {
  if (free + toCome >= Math.max(archiveBytes, provisionLimits.roomBytesMin)) return;
  const needed = archiveBytes > free ? `the archive alone has ${archiveBytes}` : "too few";
  throw new RemoteError(
    "disk-full",
    `The volume has ${free} bytes free, ${needed}`,
    "Remove files below /root or /home, or extend the volume",
  );
}
