import { statSync } from "node:fs";
import { Failure } from "../../../cli/failure.ts";
import { shellWord } from "../../../cli/shell-word.ts";

/** The configuration may name a command to run, so nobody else may have a say in it. */

export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/** A folder that is not there yet is none to complain of. Throws `Failure`. */
export function checkPrivateFolder(path: string): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  checkOwner(`the folder "${path}"`, stat);
  // In a sticky folder such as /tmp nobody replaces the file of another.
  const isSticky = (stat.mode & 0o1000) !== 0;
  if (!isSticky) checkWriters(path, stat, `the folder "${path}", which holds your vaults`);
}

/** Throws `Failure`. */
export function checkPrivateFile(path: string, owner: FileOwner): void {
  checkOwner(`"${path}"`, owner);
  checkWriters(path, owner, `"${path}", which holds your vaults`);
}

/** Root may use anybody's: whoever became root by sudo often keeps their own folders. */
function checkOwner(what: string, { uid }: FileOwner): void {
  const own = process.geteuid?.() ?? uid;
  if (uid === own || uid === 0 || own === 0) return;
  throw new Failure("FV-CFG-007", `${what} belongs to another user (${uid})`, {
    because: "it says which machines are yours, and may name a command to run",
    fix: "use one of your own (FLY_VAULT_CONFIG)",
  });
}

function checkWriters(path: string, { uid, gid, mode }: FileOwner, what: string): void {
  // Many systems give each user a group of their own, and umask 002.
  const ownGroup = gid === uid;
  if ((mode & (ownGroup ? 0o002 : 0o022)) === 0) return;
  const wanted = (mode & 0o170000) === 0o040000 ? "0700" : "0600";
  throw new Failure("FV-CFG-007", `others can write ${what}`, {
    because: `its mode is 0${(mode & 0o7777).toString(8)}, it should be ${wanted}`,
    fix: `chmod go-w ${shellWord(path)}`,
  });
}
