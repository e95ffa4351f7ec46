import { RemoteError } from "../../../protocol/errors.ts";
import { hasCode } from "../../../system/filesystem.ts";
import type { DataVolume } from "./data-volume.ts";
import { type CompleteMark, completeMark, readMark } from "./mark.ts";
import { readState, type VolumeState, writeState } from "./state-file.ts";
import { throwAway } from "./trash.ts";
import type { VolumeFs } from "./volume-fs.ts";

/** The few steps that change which tree is which. Each is one rename, made durable before the next. */

export function nextGeneration(volume: DataVolume): number {
  const { fs, layout } = volume;
  const state = readState(volume);
  const trees = [completeMark(fs, layout.rootfs), completeMark(fs, layout.previous)];
  const known = [...trees, state?.current, state?.previous].map((tree) => tree?.generation ?? 0);
  return Math.max(...known) + 1;
}

/** First time: the staged tree becomes the live one. Later: they change places. The only irreversible step. */
export function switchTrees({ fs, layout }: DataVolume): void {
  exchangeOrMove(fs, layout.next, layout.rootfs);
  fs.syncFolder(layout.dataDir);
}

/** After `switchTrees`: the tree that was live becomes the previous one; the one before that goes. */
export function keepOldTree(volume: DataVolume): void {
  const { fs, layout } = volume;
  if (!fs.exists(layout.next)) return;
  throwAway(volume, layout.previous);
  exchangeOrMove(fs, layout.next, layout.previous);
  fs.syncFolder(layout.dataDir);
}

/** Back to the previous tree; the one that was live becomes the previous, so that going back is no loss either. */
export function switchBack(volume: DataVolume): void {
  const { fs, layout } = volume;
  if (completeMark(fs, layout.previous) === undefined && readMark(fs, layout.previous) !== "none") {
    throw new RemoteError("not-found", "There is no previous root filesystem to go back to");
  }
  exchangeOrMove(fs, layout.previous, layout.rootfs);
  fs.syncFolder(layout.dataDir);
  recordProven(volume);
}

/** The live tree has proved itself; a tree one goes back to has, or the two would take turns for ever. */
export function recordProven(volume: DataVolume): void {
  const live = completeMark(volume.fs, volume.layout.rootfs);
  if (live !== undefined) recordState(volume, live.generation);
}

/** False for a tree on probation: it has not proved itself, and there is one to go back to. */
export function isProven({ fs, layout }: DataVolume, state: VolumeState): boolean {
  if (readMark(fs, layout.previous) === "absent" || state.current === undefined) return true;
  return state.proven === state.current.generation;
}

/** The seed of /root and /home, put in place whole. An existing `persist` is never touched. */
export function plantSeed(volume: DataVolume): void {
  const { fs, layout } = volume;
  if (fs.exists(layout.persist)) return throwAway(volume, layout.persistNext);
  fs.rename(layout.persistNext, layout.persist, "free");
  fs.syncFolder(layout.dataDir);
}

/**
 * Writes down what the marks say, unless it stands there already. Since the marks decide, a full disk
 * costs the note and nothing else: a machine that cannot boot for lack of one cannot be cleaned up.
 */
export function recordState(volume: DataVolume, provenNow?: number): VolumeState {
  const { fs, layout, log } = volume;
  const before = readState(volume);
  const state: VolumeState = {
    version: 1,
    ...recorded("current", completeMark(fs, layout.rootfs)),
    ...recorded("previous", completeMark(fs, layout.previous)),
    proven: provenNow ?? before?.proven ?? 0,
  };
  if (JSON.stringify(before) === JSON.stringify(state)) return state;
  try {
    writeState(volume, state);
  } catch (error) {
    if (!hasCode(error, "ENOSPC", "EDQUOT")) throw error;
    log("warn", "state-not-written", { message: String(error) });
  }
  return state;
}

function exchangeOrMove(fs: VolumeFs, from: string, to: string): void {
  fs.rename(from, to, fs.exists(to) ? "exchange" : "free");
}

function recorded(key: "current" | "previous", mark: CompleteMark | undefined) {
  return mark === undefined ? {} : { [key]: { generation: mark.generation, sha256: mark.sha256 } };
}
