import { realpath, stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { archiveKind, archivePlaces, writeArchive } from "./archive-writer.ts";
import { findRecipe, imageArchive } from "./image-archive.ts";
import { packFolder } from "./pack-folder.ts";

export interface BuildWish {
  readonly folder: string | undefined;
  readonly file: string | undefined;
  readonly from: string | undefined;
  readonly engine: string | undefined;
  readonly output: string;
  readonly quiet: boolean;
  readonly signal: AbortSignal;
}

/** Writes the archive, and gives its SHA-256. Rejects with `Failure` and `UsageError`. */
export async function writeBuild(wish: BuildWish, context: Context): Promise<string> {
  const { from, output, quiet, signal } = wish;
  const kind = archiveKind(output);
  const source =
    from === undefined
      ? await fromRecipe({ ...wish, folder: wish.folder ?? "." }, context)
      : await fromFolder(wish, from, context);
  return writeArchive({ ...source, output, kind, quiet, signal }, context);
}

interface Source {
  readonly archive: AsyncIterable<Uint8Array>;
  readonly title: string;
}

async function fromRecipe(
  said: {
    readonly folder: string;
    readonly file: string | undefined;
    readonly engine: string | undefined;
    readonly output: string;
    readonly quiet: boolean;
    readonly signal: AbortSignal;
  },
  context: Context,
): Promise<Source> {
  const folder = await realFolder(said.folder);
  const recipe = await findRecipe(folder, said.file);
  const newestMs = sourceDateMs(context.env);
  const leaveOut = await archivePlaces(said.output);
  const job = { ...said, folder, recipe, newestMs, leaveOut };
  const archive = await imageArchive(job, context);
  return { archive, title: `packing what ${recipe} makes` };
}

async function fromFolder(
  said: Pick<BuildWish, "folder" | "file" | "output">,
  from: string,
  context: Context,
): Promise<Source> {
  if (said.folder !== undefined || said.file !== undefined)
    throw new UsageError("--from takes no DIR and no --file");
  return {
    archive: await folderArchive(from, said.output, context),
    title: `packing ${from.slice("dir:".length)}`,
  };
}

/** What `dir:PATH` of --from packs to, without what is written to `output`. Rejects with `Failure` and `UsageError`. */
export async function folderArchive(
  from: string,
  output: string,
  context: Context,
): Promise<AsyncIterable<Uint8Array>> {
  if (!from.startsWith("dir:") || from === "dir:")
    throw new UsageError(`--from must be dir:PATH, not "${from}"`);
  const folder = await realFolder(from.slice("dir:".length));
  const leaveOut = await archivePlaces(output);
  return packFolder(folder, {
    ownedByRoot: process.getuid?.() !== 0,
    newestMs: sourceDateMs(context.env),
    leaveOut,
    onSkipped: (path) => {
      context.stderr
        .write(`warning: left out ${path}, a socket or device\n`)
        .catch(() => undefined);
    },
  });
}

async function realFolder(path: string): Promise<string> {
  const folder = resolve(path);
  const found = await stat(folder).catch(() => undefined);
  if (found?.isDirectory() === true) return realpath(folder);
  throw new Failure("FV-PROV-001", `there is no folder "${folder}"`);
}

function sourceDateMs(env: Context["env"]): number | undefined {
  const seconds = env["SOURCE_DATE_EPOCH"];
  if (seconds === undefined || seconds === "") return undefined;
  if (!/^\d{1,11}$/.test(seconds))
    throw new UsageError(`SOURCE_DATE_EPOCH must be seconds since 1970, not "${seconds}"`);
  return Number(seconds) * 1000;
}
