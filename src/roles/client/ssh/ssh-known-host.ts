import { join } from "node:path";
import { stateDirectory } from "../../../cli/paths.ts";
import type { Context } from "../../../cli/context.ts";
import {
  PrivateFileError,
  readPrivateFile,
  writePrivateFile,
} from "../../../system/private-file.ts";

/** One file for each host, so that no two programs write the same one. */
export function knownHostsFolder(env: Context["env"]): string {
  return join(stateDirectory(env), "ssh-known-hosts");
}

/**
 * What ssh is to compare the host key with. It came over a link whose far end Fly has attested, so a
 * key that has changed is no warning: the volume is new, and the machine is the right one.
 */
export async function noteHostKey(
  host: string,
  hostKey: string,
  env: Context["env"],
): Promise<void> {
  const path = join(knownHostsFolder(env), host);
  const line = new TextEncoder().encode(`${host} ${hostKey}\n`);
  const before = await readBefore(path);
  if (before === undefined || Buffer.compare(before, line) !== 0)
    await writePrivateFile(path, line);
}

/** Whatever stands there that we would not have written is written anew. */
async function readBefore(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readPrivateFile(path, fileBytesMax);
  } catch (error) {
    if (error instanceof PrivateFileError) return undefined;
    throw error;
  }
}

const fileBytesMax = 4096;
