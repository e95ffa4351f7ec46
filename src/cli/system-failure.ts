import { Failure } from "./failure.ts";

/**
 * A system call that was refused, in words: a full disk is no mistake of ours. Undefined for what is
 * none, and for codes that only a mistake of ours brings about.
 */
export function systemFailure(error: unknown): Failure | undefined {
  if (!(error instanceof Error) || !("code" in error) || !("syscall" in error)) return undefined;
  const known = refusals[String(error.code)];
  if (known === undefined) return undefined;
  const [message, fix] = known;
  return new Failure("FV-SYS-001", message, { because: error.message, fix });
}

const makeRoom = "make room, then do it again";
const look = "see whom file and folder belong to, and their modes";

const refusals: Readonly<Record<string, readonly [string, string]>> = {
  ENOSPC: ["there is no room left on the disk", makeRoom],
  EDQUOT: ["the disk quota of this user is used up", makeRoom],
  EROFS: ["the file system can only be read", "make it writable, or use another folder"],
  EACCES: ["this user may not do that", look],
  EPERM: ["this user may not do that", look],
  ENOTDIR: ["a file is where a folder should be", look],
  EMFILE: ["this process may open no more files", "raise the limit (ulimit -n)"],
  ENFILE: ["this computer can open no more files", "end some programs"],
  EIO: ["a disk does not do what it should", "look at the disk"],
};
