import {
  lstatSync,
  mkdirSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
} from "node:fs";
import { isAbsolute, join } from "node:path";
import type { Context } from "../../../cli/context.ts";
import { stateDirectory } from "../../../cli/paths.ts";
import { hasCode } from "../../../system/filesystem.ts";
import { clientLimits } from "../limits.ts";

/**
 * Where the sockets of background links are. In the folder, for each link:
 *
 *     NAME         symbolic link to the socket that new commands use
 *     NAME.lock    locked for as long as a process listens or is about to
 *     PID-x.sock   the socket itself; one that takes no new commands keeps it to its end
 */
export class LinkFolderError extends Error {
  override readonly name = "LinkFolderError";
}

/** The folder, made where it is missing. Throws `LinkFolderError` where somebody else could get in. */
export function openLinkFolder(env: Context["env"]): string {
  const folder = linkFolder(env);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  checkLinkFolder(folder);
  return folder;
}

/** Throws `LinkFolderError`. */
export function checkLinkFolder(folder: string): void {
  const stat = lstatSync(folder);
  if (!stat.isDirectory()) throw new LinkFolderError(`${folder} is not a folder`);
  if (stat.uid !== process.geteuid?.())
    throw new LinkFolderError(`${folder} belongs to another user (${stat.uid})`);
  if ((stat.mode & 0o077) !== 0)
    throw new LinkFolderError(
      `others may use ${folder}: its mode is 0${(stat.mode & 0o777).toString(8)}, it should be 0700`,
    );
}

/** The first that leaves room for a socket's name; the last always does. */
export function linkFolder(env: Context["env"]): string {
  const runtime = runtimeDirectory(env);
  const wanted =
    runtime === undefined ? join(stateDirectory(env), "link") : join(runtime, "fly-vault");
  const longest = Buffer.byteLength(join(wanted, newSocketName(4_194_304)));
  return longest <= clientLimits.socketPathBytesMax
    ? wanted
    : `/tmp/fly-vault-${process.geteuid?.() ?? 0}`;
}

/** Where it is ours: `sudo` may leave that of somebody else in the environment. */
function runtimeDirectory(env: Context["env"]): string | undefined {
  const path = env["XDG_RUNTIME_DIR"];
  const isMoved = (env["FLY_VAULT_HOME"] ?? "") !== "";
  if (isMoved || path === undefined || !isAbsolute(path)) return undefined;
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.uid === process.geteuid?.() ? path : undefined;
}

export function newSocketName(pid: number): string {
  return `${pid}-${crypto.randomUUID().slice(0, 8)}.sock`;
}

/** From now on new commands come to `socket`. What a process that died left behind is removed. */
export function takeName(folder: string, name: string, socket: string): void {
  const before = socketOf(folder, name);
  const temporary = join(folder, `${socket}.new`);
  symlinkSync(socket, temporary);
  renameSync(temporary, join(folder, name));
  if (before !== undefined) remove(join(folder, before));
}

/** Unless a newer one has the name by now. */
export function leaveName(folder: string, name: string, socket: string): void {
  if (socketOf(folder, name) === socket) remove(join(folder, name));
}

export function socketOf(folder: string, name: string): string | undefined {
  try {
    return readlinkSync(join(folder, name));
  } catch (error) {
    if (hasCode(error, "ENOENT", "EINVAL")) return undefined;
    throw error;
  }
}

export function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
  }
}
