import { existsSync } from "node:fs";
import { RemoteError } from "../../../protocol/errors.ts";
import { currentFolder, hasCode, renameat2, renameFlags } from "../../../system/filesystem.ts";
import type { Log } from "../../../system/log.ts";
import type { DataLayout } from "./data-layout.ts";
import { type CompleteMark, type Mark, readMark } from "./mark.ts";
import { readState, syncFolder, type VolumeState, writeState } from "./state-file.ts";
import { throwAway } from "./trash.ts";

/** The few steps that change which tree is which. Each is one rename, made durable before the next. */

export function nextGeneration(layout: DataLayout): number {
  const state = readState(layout);
  const known = [layout.rootfs, layout.previous].map((folder) => generationOf(readMark(folder)));
  const written = [state?.current?.generation ?? 0, state?.previous?.generation ?? 0];
  return Math.max(0, ...known, ...written) + 1;
}

/** First time: the staged tree becomes the live one. Later: they change places. The only irreversible step. */
export function switchTrees(layout: DataLayout): void {
  exchangeOrMove(layout.next, layout.rootfs);
  syncFolder(layout.dataDir);
}

/** After `switchTrees`: the tree that was live becomes the previous one; the one before that goes. */
export function keepOldTree(layout: DataLayout): void {
  if (!existsSync(layout.next)) return;
  throwAway(layout, layout.previous);
  exchangeOrMove(layout.next, layout.previous);
  syncFolder(layout.dataDir);
}

/** Back to the previous tree; the one that was live becomes the previous, so that going back is no loss either. */
export function switchBack(layout: DataLayout, log: Log): void {
  if (completeMark(layout.previous) === undefined && readMark(layout.previous) !== "none") {
    throw new RemoteError("not-found", "There is no previous root filesystem to go back to");
  }
  exchangeOrMove(layout.previous, layout.rootfs);
  syncFolder(layout.dataDir);
  recordState(layout, log);
}

/** The seed of /root and /home, put in place whole. An existing `persist` is never touched. */
export function plantSeed(layout: DataLayout): void {
  if (existsSync(layout.persist)) return throwAway(layout, layout.persistNext);
  const from = { folder: currentFolder, name: layout.persistNext };
  renameat2(from, { folder: currentFolder, name: layout.persist }, renameFlags.noReplace);
  syncFolder(layout.dataDir);
}

/**
 * Writes down what the marks say, unless it stands there already. Since the marks decide, a full disk
 * costs the note and nothing else: a machine that cannot boot for lack of one cannot be cleaned up.
 */
export function recordState(layout: DataLayout, log: Log): VolumeState {
  const state: VolumeState = {
    version: 1,
    ...recorded("current", completeMark(layout.rootfs)),
    ...recorded("previous", completeMark(layout.previous)),
  };
  if (JSON.stringify(readState(layout)) === JSON.stringify(state)) return state;
  try {
    writeState(layout, state);
  } catch (error) {
    if (!hasCode(error, "ENOSPC", "EDQUOT")) throw error;
    log("warn", "state-not-written", { message: String(error) });
  }
  return state;
}

export function completeMark(folder: string): CompleteMark | undefined {
  const mark = readMark(folder);
  return typeof mark === "object" && mark.state === "complete" ? mark : undefined;
}

function exchangeOrMove(from: string, to: string): void {
  const flag = existsSync(to) ? renameFlags.exchange : renameFlags.noReplace;
  renameat2({ folder: currentFolder, name: from }, { folder: currentFolder, name: to }, flag);
}

function recorded(key: "current" | "previous", mark: CompleteMark | undefined) {
  return mark === undefined ? {} : { [key]: { generation: mark.generation, sha256: mark.sha256 } };
}

function generationOf(mark: Mark | "absent" | "none"): number {
  return typeof mark === "object" && mark.state === "complete" ? mark.generation : 0;
}
