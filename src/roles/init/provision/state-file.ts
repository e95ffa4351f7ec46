import * as v from "valibot";
import type { DataVolume } from "./data-volume.ts";
import { provisionLimits } from "./limits.ts";

const tree = v.object({
  generation: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
});

/**
 * What is on the volume, for people and for `status`. The marks on the trees decide; this file follows
 * them. Only `proven` stands here alone: the generation of the tree that proved itself last.
 */
const stateSchema = v.pipe(
  v.object({
    version: v.literal(1),
    current: v.optional(tree),
    previous: v.optional(tree),
    proven: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
  }),
  // A record from before there was probation: the tree it names had served long enough.
  v.transform((state) => ({ ...state, proven: state.proven ?? state.current?.generation ?? 0 })),
);

export type VolumeState = v.InferOutput<typeof stateSchema>;

/** Undefined where there is none, or none that can be read: it is then written anew from the marks. */
export function readState({ fs, layout }: DataVolume): VolumeState | undefined {
  try {
    const text = fs.readFile(layout.state, provisionLimits.stateBytesMax) ?? "";
    const result = v.safeParse(stateSchema, JSON.parse(text));
    return result.success ? result.output : undefined;
  } catch {
    return undefined;
  }
}

/** Temporary file, fsync, rename, fsync of the folder: a reader finds the old text or the new one. */
export function writeState({ fs, layout }: DataVolume, state: VolumeState): void {
  const temporary = `${layout.state}.tmp`;
  fs.writeFile(temporary, `${JSON.stringify(state, undefined, 2)}\n`);
  fs.rename(temporary, layout.state, "replace");
  fs.syncFolder(layout.own);
}
