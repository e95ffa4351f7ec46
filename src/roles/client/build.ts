import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { defineCommand } from "../../cli/command.ts";
import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { Progress } from "../../cli/progress.ts";
import { formatSize } from "../../cli/size.ts";
import { UsageError } from "../../cli/usage-error.ts";

export const build = defineCommand({
  name: "build",
  summary: "Pack a folder into a rootfs archive, the same bytes every time",
  flags: {
    from: { value: "dir:PATH", summary: "the folder that becomes /" },
    output: { short: "o", value: "FILE", summary: "a .tar, .tar.gz or .tar.zst file to write" },
  },
  description:
    "Names are sorted; modes, times, symbolic and hard links are kept; owners are kept when run as root, else everything is root's. Sockets and devices are left out. Extended attributes (file capabilities) are not kept: use tar --xattrs where they matter. SOURCE_DATE_EPOCH bounds all times.",
  examples: ["fly-vault build --from dir:./rootfs --output rootfs.tar.zst"],
  run: async ({ flags, global }, context) => {
    const { from, output } = flags;
    if (from === undefined) throw new UsageError("--from dir:PATH is missing");
    if (output === undefined) throw new UsageError("--output FILE is missing");
    if (!from.startsWith("dir:") || from === "dir:")
      throw new UsageError(`--from must be dir:PATH, not "${from}"`);
    const kind = archiveKind(output);
    const folder = resolve(from.slice("dir:".length));
    await checkFolder(folder);
    const result = await writeArchive({ folder, output, kind, quiet: global.quiet }, context);
    await context.stdout.write(`${result.sha256}  ${output}\n`);
    return 0;
  },
});

type ArchiveKind = "tar" | "gzip" | "zstd";

function archiveKind(output: string): ArchiveKind {
  if (output.endsWith(".tar")) return "tar";
  if (output.endsWith(".tar.gz") || output.endsWith(".tgz")) return "gzip";
  if (output.endsWith(".tar.zst")) return "zstd";
  throw new UsageError(`--output must end in .tar, .tar.gz or .tar.zst, not "${output}"`);
}

async function checkFolder(folder: string): Promise<void> {
  const found = await stat(folder).catch(() => undefined);
  if (found?.isDirectory() === true) return;
  throw new Failure("FV-PROV-001", `there is no folder "${folder}"`);
}

interface Job {
  readonly folder: string;
  readonly output: string;
  readonly kind: ArchiveKind;
  readonly quiet: boolean;
}

/** Written beside its place and moved there when it is whole. */
async function writeArchive(job: Job, context: Context): Promise<{ readonly sha256: string }> {
  const temporary = `${job.output}.part`;
  const progress = new Progress(context, `packing ${job.folder}`, { quiet: job.quiet });
  const file = await open(temporary, "w").catch((error: unknown) =>
    Promise.reject(cannotWrite(job.output, error)),
  );
  try {
    const sha256 = await copyInto(file, job, progress, context);
    await file.sync();
    await file.close();
    await rename(temporary, job.output);
    return { sha256 };
  } catch (error) {
    await progress.abandon();
    await file.close().catch(() => undefined);
    await rm(temporary, { force: true });
    throw isSystem(error) ? cannotWrite(job.output, error) : error;
  }
}

async function copyInto(
  file: FileHandle,
  job: Job,
  progress: Progress,
  context: Context,
): Promise<string> {
  const counts = { entries: 0, bytes: 0, written: 0 };
  // Loaded when it is used, as the compressors: other commands need not wait for it.
  const { packFolder } = await import("./pack-folder.ts");
  const archive = packFolder(job.folder, {
    ownedByRoot: process.getuid?.() !== 0,
    newestMs: sourceDateMs(context.env),
    onSkipped: (path) => {
      context.stderr
        .write(`warning: left out ${path}, a socket or device\n`)
        .catch(() => undefined);
    },
    onEntry: (bytes) => {
      counts.entries += 1;
      counts.bytes += bytes;
    },
  });
  const hash = new Bun.CryptoHasher("sha256");
  for await (const chunk of await compressed(archive, job.kind)) {
    hash.update(chunk);
    await writeWhole(file, chunk);
    counts.written += chunk.length;
    progress.update(() => `packed ${counts.entries} entries, ${formatSize(counts.written)}`);
  }
  await progress.finish(
    `packed ${counts.entries} entries, ${formatSize(counts.bytes)} into ${formatSize(counts.written)}`,
  );
  return hash.digest("hex");
}

async function compressed(
  archive: AsyncIterable<Uint8Array>,
  kind: ArchiveKind,
): Promise<AsyncIterable<Uint8Array>> {
  if (kind === "tar") return archive;
  const { Readable } = await import("node:stream");
  const { createGzip, createZstdCompress } = await import("node:zlib");
  // Neither writes a name or a time into its header.
  const compressor = kind === "gzip" ? createGzip() : createZstdCompress();
  return Readable.from(archive)
    .on("error", (error) => compressor.destroy(error))
    .pipe(compressor);
}

async function writeWhole(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let from = 0; from < bytes.length;)
    from += (await file.write(bytes, from, bytes.length - from)).bytesWritten;
}

function sourceDateMs(env: Context["env"]): number | undefined {
  const seconds = env["SOURCE_DATE_EPOCH"];
  if (seconds === undefined || seconds === "") return undefined;
  if (!/^\d{1,11}$/.test(seconds))
    throw new UsageError(`SOURCE_DATE_EPOCH must be seconds since 1970, not "${seconds}"`);
  return Number(seconds) * 1000;
}

function isSystem(error: unknown): boolean {
  return error instanceof Error && "syscall" in error;
}

function cannotWrite(path: string, error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  return new Failure("FV-SYS-001", `cannot write "${path}"`, { because: error.message });
}
