import { type FileHandle, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { hasCode } from "../../../system/filesystem.ts";
import { stopBefore } from "../link/stop-before.ts";

/** Standard input as a file, which goes away with the end of `work`, and when the user stops us before. */
export async function withSpooledInput(
  context: Context,
  work: (path: string) => Promise<number>,
): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "fly-vault-"));
  try {
    // Where the destination turns out to be a folder, this is the name in it.
    const path = join(folder, "stdin");
    const status = await spoolInto(path, context);
    return status === 0 ? await work(path) : status;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Closes the file also where the input is still awaited when the user stops us. */
async function spoolInto(path: string, context: Context): Promise<number> {
  const file = await open(path, "wx", 0o600);
  try {
    return await stopBefore(context, async () => spool(context, file));
  } finally {
    await file.close();
  }
}

async function spool({ stdin }: Context, file: FileHandle): Promise<number> {
  try {
    for await (const bytes of stdin.read()) await writeAll(file, bytes);
    return 0;
  } catch (error) {
    if (!hasCode(error, "ENOSPC", "EDQUOT", "EFBIG")) throw error;
    throw new Failure("FV-CP-007", `no room for standard input in "${tmpdir()}"`, {
      fix: "make room there, or name another folder in TMPDIR",
    });
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;)
    at += (await file.write(bytes, at, bytes.length - at)).bytesWritten;
}
