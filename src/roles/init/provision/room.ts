import { RemoteError } from "../../../protocol/errors.ts";
import type { DataVolume } from "./data-volume.ts";
import { provisionLimits } from "./limits.ts";
import { completeMark } from "./mark.ts";
import { emptyTrash, throwAway } from "./trash.ts";

/**
 * The previous tree is a convenience: where both would not fit it gives way to the new one. Otherwise
 * nothing is deleted now: ext4 is slow to make files right after it deleted many. Throws `RemoteError`
 * "disk-full".
 */
export async function makeRoom(
  volume: DataVolume,
  archiveBytes = 0,
  treeBytes = archiveBytes * provisionLimits.inflationExpected,
): Promise<void> {
  const { fs, layout, log } = volume;
  const previous = completeMark(fs, layout.previous);
  const live = completeMark(fs, layout.rootfs);
  // The new tree will be about as large as the others, or as its archive inflates to.
  const expected = Math.max(live?.bytes ?? 0, previous?.bytes ?? 0, treeBytes);
  const wanted = Math.max(expected * provisionLimits.roomFactor, provisionLimits.roomBytesMin);
  if (fs.freeBytes(layout.dataDir) > wanted) return;
  // What is being deleted since the last time still takes room.
  await emptyTrash(volume);
  const free = fs.freeBytes(layout.dataDir);
  if (previous !== undefined && free <= wanted) {
    // Not for an archive that would not fit all the same.
    const inPrevious = (previous.bytes ?? Infinity) * provisionLimits.roomFactor;
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
