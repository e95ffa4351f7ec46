import { RemoteError } from "../../../protocol/errors.ts";
import type { DataVolume } from "./data-volume.ts";
import { type CompleteMark, completeMark, readMark, writeMark } from "./mark.ts";
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
export function switchTrees(volume: DataVolume): void {
  const { fs, layout } = volume;
  if (readMark(fs, layout.rootfs) === "none") {
    // So that it is known for what it is when it has the name of the staging folder.
    writeMark(fs, layout.rootfs, { state: "foreign" });
    fs.syncFolder(layout.rootfs);
  }
  changePlaces(volume, layout.next, layout.rootfs);
}

/** After `switchTrees`: the tree that was live becomes the previous one; the one before that goes. */
export function keepOldTree(volume: DataVolume): void {
  const { fs, layout } = volume;
  if (!fs.exists(layout.next)) return;
  throwAway(volume, layout.previous);
  changePlaces(volume, layout.next, layout.previous);
}

/** Ends a switch that was broken off; what else is left of staging goes to the trash. */
export function settle(volume: DataVolume): void {
  const { layout } = volume;
  finishSwitch(volume);
  throwAway(volume, layout.next);
  throwAway(volume, layout.persistNext);
}

function finishSwitch(volume: DataVolume): void {
  if (!switchWasInterrupted(volume)) return;
  volume.log("info", "provision-switch-finished");
  keepOldTree(volume);
}

/** The trees changed places, but the old one still has the name of the staging folder. */
function switchWasInterrupted({ fs, layout }: DataVolume): boolean {
  const next = readMark(fs, layout.next);
  if (typeof next === "string" || next.state === "staging") return false;
  const live = completeMark(fs, layout.rootfs);
  if (live === undefined) return false;
  return next.state === "foreign" || next.generation < live.generation;
}

/** Back to the previous tree; the one that was live becomes the previous, so that going back is no loss either. */
export function switchBack(volume: DataVolume): void {
  const { fs, layout } = volume;
  // Else what is called previous is the one before that, and the one to go back to would be thrown away.
  finishSwitch(volume);
  if (readMark(fs, layout.previous) === "absent") {
    throw new RemoteError("not-found", "There is no previous root filesystem to go back to");
  }
  changePlaces(volume, layout.previous, layout.rootfs);
  recordProven(volume);
}

/** The live tree has proved itself; a tree one goes back to has, or the two would take turns for ever. */
export function recordProven(volume: DataVolume): void {
  recordState(volume, completeMark(volume.fs, volume.layout.rootfs)?.generation);
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
 * Writes down what the marks say, unless it stands there already. Since the marks decide, a disk that is
 * full or fails costs the note and nothing else: a machine that cannot boot for lack of one cannot be
 * cleaned up.
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
    log("warn", "state-not-written", { message: String(error) });
  }
  return state;
}

/** Or back again: who is told that it failed finds the trees as they were. */
function changePlaces({ fs, layout }: DataVolume, from: string, to: string): void {
  exchangeOrMove(fs, from, to);
  try {
    fs.syncFolder(layout.dataDir);
  } catch (error) {
    exchangeOrMove(fs, to, from);
    throw error;
  }
}

function exchangeOrMove(fs: VolumeFs, from: string, to: string): void {
  fs.rename(from, to, fs.exists(to) ? "exchange" : "free");
}

function recorded(key: "current" | "previous", mark: CompleteMark | undefined) {
  return mark === undefined ? {} : { [key]: { generation: mark.generation, sha256: mark.sha256 } };
}
