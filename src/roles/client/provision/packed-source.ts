import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Context } from "../../../cli/context.ts";
import { cacheDirectory } from "../../../cli/paths.ts";
import { writeArchive } from "../build/archive-writer.ts";
import { folderArchive } from "../build/build-run.ts";
import { randomName } from "../session/session-request.ts";

/** What `--from` says, a folder packed first; disposing of it removes what was packed. */
export interface PackedSource extends AsyncDisposable {
  readonly from: string | undefined;
}

/** Into a file of its own: an upload may have to go on in the middle, which a stream cannot. */
export async function packedSource(
  from: string | undefined,
  { quiet, signal }: { readonly quiet: boolean; readonly signal: AbortSignal },
  context: Context,
): Promise<PackedSource> {
  if (from?.startsWith("dir:") !== true) return { from, [Symbol.asyncDispose]: async () => {} };
  const folder = cacheDirectory(context.env);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const output = join(folder, `rootfs-${randomName(context)}.tar.zst`);
  const archive = await folderArchive(from, output, context);
  const title = `packing ${from.slice("dir:".length)}`;
  await writeArchive({ archive, title, output, kind: "zstd", quiet, signal }, context);
  return { from: output, [Symbol.asyncDispose]: async () => rm(output, { force: true }) };
}
