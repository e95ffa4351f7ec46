import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { defineCommand } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { archiveKind, writeArchive } from "./archive-writer.ts";
import { engineNames } from "./container-engine.ts";
import { findRecipe, imageArchive } from "./image-archive.ts";
import { packFolder } from "./pack-folder.ts";
import { untilStopped } from "./until-stopped.ts";

export const build = defineCommand({
  name: "build",
  summary: "Make a rootfs archive from a Containerfile or a folder, the same bytes every time",
  positionals: {
    folder: {
      name: "DIR",
      optional: true,
      summary: "what COPY copies from (default: this folder)",
    },
  },
  flags: {
    file: {
      short: "f",
      value: "FILE",
      summary: "the Containerfile (default: that of DIR, or its Dockerfile)",
    },
    from: { value: "dir:PATH", summary: "no Containerfile: the folder that becomes /" },
    engine: {
      value: "NAME",
      choices: engineNames,
      summary: "what builds (default: the first that is there)",
    },
    output: {
      short: "o",
      value: "FILE",
      summary: "a .tar, .tar.gz or .tar.zst file to write (default rootfs.tar.zst)",
    },
  },
  description:
    "A Containerfile is built by buildah, podman or docker; the image's files become the archive, with owners, links and extended attributes. With --from a folder is packed as it is: owners are kept when run as root, else everything is root's; extended attributes are not kept. Sockets and devices are left out. Names are sorted, and nothing is younger than SOURCE_DATE_EPOCH, which for a Containerfile is the newest time in DIR unless it is set: what is built twice from the same files has the same bytes, if its own steps do.",
  examples: [
    "fly-vault build",
    "fly-vault build ./image -f ./image/Containerfile.dev -o dev.tar.zst",
    "fly-vault build --from dir:./rootfs --output rootfs.tar.zst",
  ],
  exitStatus: "0 written; 1 a step failed; 3 no Containerfile or folder; 125 no engine is there",
  seeAlso: ["fly-vault provision"],
  run: async ({ flags, positionals, global }, context) => {
    const { quiet } = global;
    const { output = "rootfs.tar.zst" } = flags;
    const kind = archiveKind(output);
    const folder = positionals.folder ?? ".";
    return untilStopped(context, async (signal) => {
      const source =
        flags.from === undefined
          ? await fromRecipe({ ...flags, folder, quiet, signal }, context)
          : await fromFolder({ ...flags, folder: positionals.folder }, flags.from, context);
      const sha256 = await writeArchive({ ...source, output, kind, quiet, signal }, context);
      await context.stdout.write(`${sha256}  ${output}\n`);
      return 0;
    });
  },
});

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
