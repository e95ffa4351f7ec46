import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import * as v from "valibot";
import { hasCode, openFlags } from "../../../system/filesystem.ts";
import type { DataLayout } from "./data-layout.ts";
import { provisionLimits } from "./limits.ts";

const tree = v.object({
  generation: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
});

/** What is on the volume, for people and for `status`. The marks on the trees decide; this file follows them. */
const stateSchema = v.object({
  version: v.literal(1),
  current: v.optional(tree),
  previous: v.optional(tree),
});

export type VolumeState = v.InferOutput<typeof stateSchema>;

/** Undefined where there is none, or none that can be read: it is then written anew from the marks. */
export function readState(layout: DataLayout): VolumeState | undefined {
  try {
    if (statSync(layout.state).size > provisionLimits.stateBytesMax) return undefined;
    const result = v.safeParse(stateSchema, JSON.parse(readFileSync(layout.state, "utf8")));
    return result.success ? result.output : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Temporary file, fsync, rename, fsync of the folder: a reader finds the old text or the new one. */
export function writeState(layout: DataLayout, state: VolumeState): void {
  const temporary = `${layout.state}.tmp`;
  const fd = openSync(temporary, "w", 0o600);
  try {
    const bytes = Buffer.from(`${JSON.stringify(state, undefined, 2)}\n`);
    let at = 0;
    while (at < bytes.length) at += writeSync(fd, bytes, at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, layout.state);
  syncFolder(dirname(layout.state));
}

/** Makes renames inside a folder survive a power cut. */
export function syncFolder(path: string): void {
  const fd = openSync(path, openFlags.directory);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
