import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { lstat, open, readdir, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { childEnv } from "../../../system/child-env.ts";
import { updateLimits } from "./update-limits.ts";

export interface Replacement {
  /** What is replaced: no symbolic link. */
  readonly path: string;
  readonly version: string;
  readonly write: (file: FileHandle) => Promise<void>;
  readonly signal: AbortSignal;
}

/**
 * Puts another program in the place of one, in a single step: it is written beside it, reaches the disk,
 * shows that it runs here, and only then gets the name. Programs that run go on with the file they have.
 */
export async function replaceProgram(
  { path, version, write, signal }: Replacement,
  { env, wallMs }: Pick<Context, "env" | "wallMs">,
): Promise<void> {
  const folder = dirname(path);
  await removeLeftovers(folder, wallMs());
  const before = await stat(path);
  const temporary = join(folder, `${prefix}${randomUUID()}`);
  try {
    const file = await open(temporary, "wx", 0o700);
    try {
      await write(file);
      // As root we may be at work in a folder of somebody else's.
      if (process.getuid?.() === 0) await file.chown(before.uid, before.gid);
      await file.chmod(before.mode & 0o7777);
      await file.sync();
    } finally {
      await file.close();
    }
    signal.throwIfAborted();
    await mustRun(temporary, { version, env, signal });
    signal.throwIfAborted();
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
  await syncFolder(folder);
}

async function mustRun(
  path: string,
  { version, env, signal }: Pick<Replacement, "version" | "signal"> & Pick<Context, "env">,
): Promise<void> {
  const wanted = `fly-vault ${version}`;
  let said: string;
  try {
    const child = Bun.spawn([path, "--version"], {
      env: childEnv(env),
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: updateLimits.tryMs,
      killSignal: "SIGKILL",
      signal,
    });
    const [out, err, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    if (code === 0 && out.trim() === wanted) return;
    said = `it ended with ${child.signalCode ?? code} and said "${(out || err).trim().slice(0, 200)}", not "${wanted}"`;
  } catch (error) {
    said = error instanceof Error ? error.message : String(error);
  }
  signal.throwIfAborted();
  throw new Failure("FV-UPD-007", "the new program does not run on this computer", {
    because: said,
    fix: "stay with this one; nothing was changed",
  });
}

/** Of an update or an `install.sh` (that has a folder) that was killed. One that is at work is younger. */
async function removeLeftovers(folder: string, nowMs: number): Promise<void> {
  const names = await readdir(folder);
  for (const name of names.filter((each) => each.startsWith(prefix))) {
    const path = join(folder, name);
    const found = await lstat(path).catch(() => undefined);
    const isOurs = found?.isFile() === true || found?.isDirectory() === true;
    if (isOurs && nowMs - found.mtimeMs > updateLimits.leftoverMs)
      await rm(path, { recursive: true, force: true });
  }
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const prefix = ".fly-vault-update-";
