import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { link, mkdir, open, rename, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Small files of our own state: written whole or not at all, readable by their owner alone. */

/** There is something of that name, but not a file of ours that we may believe. */
export class PrivateFileError extends Error {
  override readonly name = "PrivateFileError";
}

/**
 * The file's bytes, or undefined where there is none. Rejects with `PrivateFileError` where it is
 * too long, no regular file, or others than its owner may write it. Read in one go: the threads that
 * would do it meanwhile take a millisecond to start, more than so few bytes do.
 */
export async function readPrivateFile(
  path: string,
  bytesMax: number,
): Promise<Uint8Array | undefined> {
  let fd: number;
  try {
    // Not blocking: a FIFO in the file's place must not hang us.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return undefined;
    if (isSystemError(error, "ELOOP")) throw new PrivateFileError(`${path} is a symbolic link`);
    throw error;
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new PrivateFileError(`${path} is not a file`);
    if ((stat.mode & 0o022) !== 0) throw new PrivateFileError(`${path} can be written by others`);
    if (stat.size > bytesMax)
      throw new PrivateFileError(`${path} has ${stat.size} bytes, at most ${bytesMax}`);
    return new Uint8Array(readFileSync(fd));
  } finally {
    closeSync(fd);
  }
}

/** Replaces the file; after a crash there is the old one or the new one. `mode` is for a file that is not ours alone. */
export async function writePrivateFile(
  path: string,
  bytes: Uint8Array,
  mode = 0o600,
): Promise<void> {
  const temporary = await writeTemporary(path, bytes, mode);
  try {
    await rename(temporary, path);
  } catch (error) {
    await removeQuietly(temporary);
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Makes the file unless there is one: false then. Of two processes at once, one is first. */
export async function createPrivateFile(path: string, bytes: Uint8Array): Promise<boolean> {
  const temporary = await writeTemporary(path, bytes);
  try {
    await link(temporary, path);
  } catch (error) {
    if (isSystemError(error, "EEXIST")) return false;
    throw error;
  } finally {
    await removeQuietly(temporary);
  }
  await syncDirectory(dirname(path));
  return true;
}

async function writeTemporary(path: string, bytes: Uint8Array, mode = 0o600): Promise<string> {
  const directory = dirname(path);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const temporary = join(directory, `.${crypto.randomUUID()}.tmp`);
  const handle = await open(temporary, "wx", 0o600);
  try {
    await handle.writeFile(bytes);
    // Once more, past the umask.
    await handle.chmod(mode);
    await handle.sync();
  } catch (error) {
    await removeQuietly(temporary);
    throw error;
  } finally {
    await handle.close();
  }
  return temporary;
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function removeQuietly(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch {
    // It is not there: nothing to take away.
  }
}

function isSystemError(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
