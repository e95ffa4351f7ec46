import { existsSync } from "node:fs";
import type { Log } from "../../../system/log.ts";
import { type DataLayout, dataLayout } from "./data-layout.ts";
import { holdVolume } from "./data-lock.ts";
import { readMark } from "./mark.ts";
import { readState, syncFolder } from "./state-file.ts";
import { emptyTrash, throwAway } from "./trash.ts";
import * as volume from "./volume.ts";

/**
 * Brings the volume from whatever state a crash or a power cut left into one of: no tree, the old
 * tree, the new tree; whole. Takes the volume's lock for the life of the process. Can itself be
 * killed anywhere and run again. Rejects with `RemoteError` "busy" where another init runs.
 */
export async function repairAtBoot(
  dataDir: string,
  log: Log,
): Promise<{ readonly rootfs: boolean; readonly sha256?: string }> {
  const layout = dataLayout(dataDir);
  holdVolume(layout);
  if (switchWasInterrupted(layout)) {
    log("info", "provision-switch-finished");
    volume.keepOldTree(layout);
  }
  throwAway(layout, layout.next);
  throwAway(layout, layout.persistNext);
  if (!existsSync(layout.rootfs) && volume.completeMark(layout.previous) !== undefined) {
    log("warn", "provision-previous-restored");
    volume.switchBack(layout, log);
  }
  syncFolder(layout.dataDir);
  const { current } = volume.recordState(layout, log);
  void emptyTrash(layout).catch((error: unknown) => {
    log("warn", "trash-failed", { error: String(error) });
  });
  await Promise.resolve();
  const rootfs = readMark(layout.rootfs) !== "absent";
  return current === undefined ? { rootfs } : { rootfs, sha256: current.sha256 };
}

/** The trees changed places, but the old one still has the name of the staging folder. */
function switchWasInterrupted(layout: DataLayout): boolean {
  const next = readMark(layout.next);
  if (next === "absent" || (typeof next === "object" && next.state === "staging")) return false;
  const live = volume.completeMark(layout.rootfs);
  if (live === undefined) return false;
  if (typeof next === "object") return next.generation < live.generation;
  // A tree without a mark was never staged by us: it was the live one, if the record is behind.
  return readState(layout)?.current?.generation !== live.generation;
}
