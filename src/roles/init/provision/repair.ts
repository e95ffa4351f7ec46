import type { Log } from "../../../system/log.ts";
import { type DataVolume, holdVolume } from "./data-volume.ts";
import { completeMark, readMark } from "./mark.ts";
import { readState } from "./state-file.ts";
import { emptyTrash, throwAway } from "./trash.ts";
import { isProven, keepOldTree, recordState, switchBack } from "./volume.ts";
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
  repair(volume);
  const state = recordState(volume);
  void emptyTrash(volume).catch((error: unknown) => {
    log("warn", "trash-failed", { error: String(error) });
  });
  await Promise.resolve();
  return {
    rootfs: readMark(volume.fs, volume.layout.rootfs) !== "absent",
    proven: isProven(volume, state),
    ...(state.current === undefined ? {} : { sha256: state.current.sha256 }),
  };
}

function repair(volume: DataVolume): void {
  const { fs, layout, log } = volume;
  if (switchWasInterrupted(volume)) {
    log("info", "provision-switch-finished");
    keepOldTree(volume);
  }
  throwAway(volume, layout.next);
  throwAway(volume, layout.persistNext);
  if (!fs.exists(layout.rootfs) && completeMark(fs, layout.previous) !== undefined) {
    log("warn", "provision-previous-restored");
    switchBack(volume);
  }
  fs.syncFolder(layout.dataDir);
}

/** The trees changed places, but the old one still has the name of the staging folder. */
function switchWasInterrupted(volume: DataVolume): boolean {
  const { fs, layout } = volume;
  const next = readMark(fs, layout.next);
  if (next === "absent" || (typeof next === "object" && next.state === "staging")) return false;
  const live = completeMark(fs, layout.rootfs);
  if (live === undefined) return false;
  if (typeof next === "object") return next.generation < live.generation;
  // A tree without a mark was never staged by us: it was the live one, if the record is behind.
  return readState(volume)?.current?.generation !== live.generation;
}
