import * as v from "valibot";
import type { VolumeFs } from "./volume-fs.ts";

/**
 * What a root folder says about itself, in an extended attribute: it travels with every rename, so it
 * can never disagree with the tree, as a file beside it could.
 */
const markSchema = v.variant("state", [
  /** Being filled: worth nothing after a crash. */
  v.object({ state: v.literal("staging") }),
  /** Whole and on disk. Generations count up with every provisioning of this volume. */
  v.object({
    state: v.literal("complete"),
    generation: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
    sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
    /** Content of all files when it was unpacked: how much the next one may need. */
    bytes: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
  }),
  /** Live before anything was provisioned; marked when the first tree of ours takes its place. */
  v.object({ state: v.literal("foreign") }),
]);

export type Mark = v.InferOutput<typeof markSchema>;
export type CompleteMark = Extract<Mark, { readonly state: "complete" }>;

/** "absent": no such folder. "none": a folder without a mark we can read, for instance made by hand. */
export function readMark(fs: VolumeFs, folder: string): Mark | "absent" | "none" {
  const value = fs.readMark(folder);
  return value === undefined ? "absent" : (parse(value) ?? "none");
}

export function completeMark(fs: VolumeFs, folder: string): CompleteMark | undefined {
  const mark = readMark(fs, folder);
  return typeof mark === "object" && mark.state === "complete" ? mark : undefined;
}

export function writeMark(fs: VolumeFs, folder: string, mark: Mark): void {
  fs.writeMark(folder, JSON.stringify(mark));
}

function parse(value: string): Mark | undefined {
  try {
    const result = v.safeParse(markSchema, JSON.parse(value));
    return result.success ? result.output : undefined;
  } catch {
    return undefined;
  }
}
