import type { FileLook } from "../file-look.ts";
import type { FileTrouble } from "../../protocol/file-message.ts";

/** Something that is wrong with one file, and no reason to stop the others. */
export class CopyTrouble extends Error {
  override readonly name = "CopyTrouble";
  readonly code: FileTrouble;

  constructor(code: FileTrouble, message: string) {
    super(message);
    this.code = code;
  }
}

/** Whoever names /dev/null as the destination does not want a file there. */
export const specialIsThere = "a device, pipe or socket of that name is there";

/** What the system said about a path, in the terms of a copy. What is no error of the system is thrown on. */
export function troubleOf(error: unknown, path: string): CopyTrouble {
  if (error instanceof CopyTrouble) return error;
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string")
    throw error;
  const known = troubles[error.code];
  return known === undefined
    ? new CopyTrouble("io", `${path}: ${error.code}`)
    : new CopyTrouble(known[0], `${path}: ${known[1]}`);
}

const troubles: Readonly<Record<string, readonly [FileTrouble, string]>> = {
  ENOENT: ["missing", "no such file or folder"],
  ENOTDIR: ["not-folder", "not a folder"],
  EACCES: ["denied", "permission denied"],
  EPERM: ["denied", "not permitted"],
  EISDIR: ["is-folder", "is a folder"],
  EEXIST: ["in-the-way", "something else of that name is there"],
  ENOTEMPTY: ["in-the-way", "a folder that is not empty is there"],
  ELOOP: ["in-the-way", "a symbolic link is in the way"],
  ENOSPC: ["full", "no space left on the disk"],
  EDQUOT: ["full", "the disk quota is used up"],
  EFBIG: ["full", "larger than the file system allows"],
  EROFS: ["read-only", "the file system is read-only"],
  EMFILE: ["too-many", "too many open files"],
  ENFILE: ["too-many", "too many open files"],
  ENAMETOOLONG: ["refused", "the name is too long there"],
  ENXIO: ["special", "not a file, folder or link"],
};

export function mustBeReplaceable(there: FileLook | undefined): void {
  if (there?.kind === "folder")
    throw new CopyTrouble("in-the-way", "a folder of that name is there");
  if (there?.kind === "other") throw new CopyTrouble("in-the-way", specialIsThere);
}

export function corrupt(): CopyTrouble {
  const message = "what arrived is not what was sent: the file there changed meanwhile";
  return new CopyTrouble("corrupt", message);
}
