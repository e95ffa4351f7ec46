import type { FileEntry } from "../../protocol/file-message.ts";
import type { SinkOptions } from "../../protocol/file-job.ts";
import type { FileLook } from "../file-look.ts";
import type { FileTime } from "../filesystem.ts";

export interface Wishes extends SinkOptions {
  /** Bits that new files and folders do not get unless modes are preserved. */
  readonly umask: number;
  /** Bits that come across at all: a machine must not leave setuid programs on a laptop. */
  readonly modeMask: number;
  /** Where people are shown the digest of what came, it is ours: the other side might say any. */
  readonly showsDigests: boolean;
}

/** As cp: the mode of what was there stays, as far as it may, unless modes are preserved. */
export function newFileMode(entry: FileEntry, there: FileLook | undefined, wishes: Wishes): number {
  if (wishes.preserve) return entry.mode & wishes.modeMask;
  return there === undefined ? entry.mode & 0o777 & ~wishes.umask : there.mode & wishes.modeMask;
}

export function timeOf({ seconds, nanoseconds }: FileEntry): FileTime {
  return { seconds, nanoseconds };
}
