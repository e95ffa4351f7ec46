import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { archiveKind, writeArchive } from "./archive-writer.ts";
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
    readonly quiet: boolean;
    readonly signal: AbortSignal;
  },
  context: Context,
): Promise<Source> {
  const folder = resolve(said.folder);
  await checkFolder(folder);
  const recipe = await findRecipe(folder, said.file);
  const newestMs = sourceDateMs(context.env);
  const archive = await imageArchive({ ...said, folder, recipe, newestMs }, context);
  return { archive, title: `packing what ${recipe} makes` };
}

async function fromFolder(
  said: { readonly folder: string | undefined; readonly file: string | undefined },
  from: string,
  context: Context,
): Promise<Source> {
  if (said.folder !== undefined || said.file !== undefined)
    throw new UsageError("--from takes no DIR and no --file");
  return {
    archive: await folderArchive(from, "--from", context),
    title: `packing ${from.slice("dir:".length)}`,
  };
}

/** What `dir:PATH` packs to; `flag` is who said it. Rejects with `Failure` and `UsageError`. */
export async function folderArchive(
  from: string,
  flag: string,
  context: Context,
): Promise<AsyncIterable<Uint8Array>> {
  if (!from.startsWith("dir:") || from === "dir:")
    throw new UsageError(`${flag} must be dir:PATH, not "${from}"`);
  const folder = resolve(from.slice("dir:".length));
  await checkFolder(folder);
  return packFolder(folder, {
    ownedByRoot: process.getuid?.() !== 0,
    newestMs: sourceDateMs(context.env),
    onSkipped: (path) => {
      context.stderr
        .write(`warning: left out ${path}, a socket or device\n`)
        .catch(() => undefined);
    },
  });
}

async function checkFolder(folder: string): Promise<void> {
  const found = await stat(folder).catch(() => undefined);
  if (found?.isDirectory() === true) return;
  throw new Failure("FV-PROV-001", `there is no folder "${folder}"`);
}

function sourceDateMs(env: Context["env"]): number | undefined {
  const seconds = env["SOURCE_DATE_EPOCH"];
  if (seconds === undefined || seconds === "") return undefined;
  if (!/^\d{1,11}$/.test(seconds))
    throw new UsageError(`SOURCE_DATE_EPOCH must be seconds since 1970, not "${seconds}"`);
  return Number(seconds) * 1000;
}
