import type { Log } from "../../../system/log.ts";
import { type DataVolume, holdVolume } from "./data-volume.ts";
import { failpoint } from "./failpoint.ts";
import { readMark } from "./mark.ts";
import { emptyTrash } from "./trash.ts";
import { isProven, recordState, settle, switchBack } from "./volume.ts";
import type { VolumeFs } from "./volume-fs.ts";

export interface FoundRootfs {
  readonly rootfs: boolean;
  /** False while the live tree is on probation: one that fails now gives way to the one before. */
  readonly proven: boolean;
  readonly sha256?: string;
}

/**
 * Brings the volume from whatever state a crash or a power cut left into one of: no tree, the old
 * tree, the new tree; whole. Takes the volume's lock for the life of the process. Can itself be
 * killed anywhere and run again. Rejects with `RemoteError` "busy" where another init runs.
 */
export async function repairAtBoot(dataDir: string, log: Log, fs?: VolumeFs): Promise<FoundRootfs> {
  const volume = holdVolume(dataDir, log, fs);
  failpoint("repair");
  attempt(settle, volume);
  attempt(restoreMissing, volume);
  attempt(bringToDisk, volume);
  const state = attempt(recordState, volume);
  void emptyTrash(volume).catch((error: unknown) => {
    log("warn", "trash-failed", { error: String(error) });
  });
  await Promise.resolve();
  return {
    rootfs: attempt(hasLive, volume) ?? true,
    // Where marks cannot be read there is no going back by itself either.
    proven: attempt((at) => state === undefined || isProven(at, state), volume) ?? true,
    ...(state?.current === undefined ? {} : { sha256: state.current.sha256 }),
  };
}

function hasLive({ fs, layout }: DataVolume): boolean {
  return readMark(fs, layout.rootfs) !== "absent";
}

function bringToDisk({ fs, layout }: DataVolume): void {
  fs.syncFolder(layout.dataDir);
}

function restoreMissing(volume: DataVolume): void {
  const { fs, layout, log } = volume;
  if (fs.exists(layout.rootfs) || readMark(fs, layout.previous) === "absent") return;
  log("warn", "provision-previous-restored");
  switchBack(volume);
}

/** What fails stays for the next boot: this one goes on with what is there, or nobody could look after it. */
function attempt<Value>(step: (at: DataVolume) => Value, volume: DataVolume): Value | undefined {
  try {
    return step(volume);
  } catch (error) {
    volume.log("error", "repair-failed", { message: String(error) });
    return undefined;
  }
}
