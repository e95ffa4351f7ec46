import { closeSync, openSync } from "node:fs";
import * as v from "valibot";
import { fgetxattr, fsetxattr, hasCode, openFlags } from "../../../system/filesystem.ts";

/**
 * What a root folder says about itself, in an extended attribute: it travels with every rename, so it
 * can never disagree with the tree, as a file beside it could. `trusted.*` is hidden from a guest
 * without CAP_SYS_ADMIN; only root can set it, so a rootless init uses `user.*`.
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
]);

export type Mark = v.InferOutput<typeof markSchema>;
export type CompleteMark = Extract<Mark, { readonly state: "complete" }>;

function attributeName(): string {
  return process.geteuid?.() === 0 ? "trusted.fv.gen" : "user.fv.gen";
}

/** "absent": no such folder. "none": a folder without a mark we can read, for instance made by hand. */
export function readMark(folder: string): Mark | "absent" | "none" {
  let fd: number;
  try {
    fd = openSync(folder, openFlags.directory | openFlags.noFollow);
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR", "ELOOP")) return "absent";
    throw error;
  }
  try {
    const value = fgetxattr(fd, attributeName());
    return value === undefined ? "none" : (parse(value) ?? "none");
  } finally {
    closeSync(fd);
  }
}

export function writeMark(folderFd: number, mark: Mark): void {
  fsetxattr(folderFd, attributeName(), Buffer.from(JSON.stringify(mark)));
}

function parse(value: Uint8Array): Mark | undefined {
  try {
    const result = v.safeParse(markSchema, JSON.parse(Buffer.from(value).toString("utf8")));
    return result.success ? result.output : undefined;
  } catch {
    return undefined;
  }
}
