import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { isTerminalName, isTerminfo } from "../../protocol/terminfo.ts";

/** Whether the root this is called in, or that home, has a description of the terminal. */
export function knowsTerminal(term: string, home: string): boolean {
  if (!isTerminalName(term)) return false;
  const folders = [join(home, ".terminfo"), ...systemFolders];
  return folders.some((folder) => existsSync(join(folder, term.charAt(0), term)));
}

/**
 * Puts a description into a home, as the user whose it is: what stands in the way there is theirs, and
 * they have no more power over us than over themselves. False when it cannot be.
 */
export function installTerminfo(term: string, home: string, data: Uint8Array): boolean {
  if (!isTerminalName(term) || !isTerminfo(data)) return false;
  const folder = join(home, ".terminfo", term.charAt(0));
  const fresh = join(folder, `.${term}.new`);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    rmSync(fresh, { force: true });
    // Only a new file: a pipe in its place would wait for a reader, and all sessions with us.
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const fd = openSync(fresh, flags, 0o644);
    try {
      writeSync(fd, data);
    } finally {
      closeSync(fd);
    }
    renameSync(fresh, join(folder, term));
    return true;
  } catch {
    return false;
  }
}

const systemFolders = [
  "/etc/terminfo",
  "/lib/terminfo",
  "/usr/share/terminfo",
  "/usr/lib/terminfo",
  "/usr/local/share/terminfo",
];
