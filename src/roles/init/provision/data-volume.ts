import { RemoteError } from "../../../protocol/errors.ts";
import type { Log } from "../../../system/log.ts";
import { type DataLayout, dataLayout } from "./data-layout.ts";
import { linuxVolumeFs } from "./linux-volume-fs.ts";
import { volumeFailure } from "./volume-failure.ts";
import type { VolumeFs } from "./volume-fs.ts";

/** The volume as the steps on it get it: where things lie, how they are changed, and who is told. */
export interface DataVolume {
  readonly layout: DataLayout;
  readonly fs: VolumeFs;
  readonly log: Log;
}

/** Throws `RemoteError`: "busy" where another init works on it: one per volume, for the life of the process. */
export function holdVolume(dataDir: string, log: Log, fs: VolumeFs = linuxVolumeFs): DataVolume {
  const layout = dataLayout(dataDir);
  if (isOurs(layout, fs)) return { layout, fs, log };
  throw new RemoteError(
    "busy",
    `Another init works on ${dataDir}`,
    "Stop it first: two of them would destroy each other's work",
  );
}

function isOurs(layout: DataLayout, fs: VolumeFs): boolean {
  try {
    fs.makeFolder(layout.own, 0o700);
    // While there is room: a disk filled by an upload that was cut off is cleared by way of this folder.
    fs.makeFolder(layout.trash, 0o700);
    return fs.lock(layout.lock);
  } catch (error) {
    throw volumeFailure(error);
  }
}
