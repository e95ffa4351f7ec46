import { statSync } from "node:fs";
import { Failure } from "../../../cli/failure.ts";

/**
 * Whoever may write the folder of the configuration may put another file in its place, with a command
 * in it. A folder that is not there yet is none to complain of.
 */
export function checkPrivateFolder(path: string): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  // In a sticky folder such as /tmp nobody replaces the file of another.
  const isSticky = (stat.mode & 0o1000) !== 0;
  // Many systems give each user a group of their own, and umask 002.
  const ownGroup = stat.gid === stat.uid;
  const open = ownGroup ? 0o002 : 0o022;
  if (isSticky || (stat.mode & open) === 0) return;
  throw new Failure(
    "FV-CFG-007",
    `others can write the folder "${path}", which holds your vaults`,
    {
      because: `its mode is 0${(stat.mode & 0o7777).toString(8)}, it should be 0700`,
      fix: `chmod go-w '${path}'`,
    },
  );
}
