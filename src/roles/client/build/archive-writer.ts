import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, realpath, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { Readable } from "node:stream";
import { createGzip, createZstdCompress } from "node:zlib";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { Progress } from "../../../cli/progress.ts";
import { formatSize } from "../../../cli/size.ts";
import { UsageError } from "../../../cli/usage-error.ts";

export type ArchiveKind = "tar" | "gzip" | "zstd";

/** By the end of its name. Throws `UsageError`. */
export function archiveKind(output: string): ArchiveKind {
  if (output.endsWith(".tar")) return "tar";
  if (output.endsWith(".tar.gz") || output.endsWith(".tgz")) return "gzip";
  if (output.endsWith(".tar.zst")) return "zstd";
  throw new UsageError(`--output must end in .tar, .tar.gz or .tar.zst, not "${output}"`);
}

/** Where the archive is while it is written, and when it is whole, past all links. */
export async function archivePlaces(output: string): Promise<readonly string[]> {
  const folder = await realpath(dirname(resolve(output))).catch(() => dirname(resolve(output)));
  const place = join(folder, basename(output));
  return [place, `${place}.part`];
}

export interface ArchiveJob {
  /** A plain tar stream. */
  readonly archive: AsyncIterable<Uint8Array>;
  /** For progress: "packing ./rootfs". */
  readonly title: string;
  readonly output: string;
  readonly kind: ArchiveKind;
  readonly quiet: boolean;
  readonly signal: AbortSignal;
}

/**
 * Packs the stream into a file, written beside its place and moved there when it is whole. Returns
 * the SHA-256 of the file, in hexadecimal.
 */
export async function writeArchive(job: ArchiveJob, context: Context): Promise<string> {
  const temporary = `${job.output}.part`;
  const progress = new Progress(context, job.title, { quiet: job.quiet });
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
  // In a folder of everybody somebody may have put a link there.
  const file = await open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW).catch(
    (error: unknown) => Promise.reject(cannotWrite(job.output, error)),
  );
  try {
    const sha256 = await copyInto(file, job, progress);
    await file.sync();
    await file.close();
    await rename(temporary, job.output);
    return sha256;
  } catch (error) {
    await progress.abandon();
    await file.close().catch(() => undefined);
    await rm(temporary, { force: true });
    throw isSystem(error) ? cannotWrite(job.output, error) : error;
  }
}

async function copyInto(file: FileHandle, job: ArchiveJob, progress: Progress): Promise<string> {
  const counts = { bytes: 0, written: 0 };
  const hash = createHash("sha256");
  for await (const chunk of compressed(counted(job.archive, counts), job.kind)) {
    hash.update(chunk);
    await writeWhole(file, chunk);
    job.signal.throwIfAborted();
    counts.written += chunk.length;
    progress.update(() => `packed ${formatSize(counts.bytes)} into ${formatSize(counts.written)}`);
  }
  await progress.finish(`packed ${formatSize(counts.bytes)} into ${formatSize(counts.written)}`);
  return hash.digest("hex");
}

async function* counted(
  archive: AsyncIterable<Uint8Array>,
  counts: { bytes: number },
): AsyncGenerator<Uint8Array> {
  for await (const chunk of archive) {
    counts.bytes += chunk.length;
    yield chunk;
  }
}

/** Whoever stops in the middle stops what the archive comes from, too, and waits for its end. */
async function* compressed(
  archive: AsyncIterable<Uint8Array>,
  kind: ArchiveKind,
): AsyncGenerator<Uint8Array> {
  if (kind === "tar") {
    yield* archive;
    return;
  }
  // Neither writes a name or a time into its header.
  const compressor = kind === "gzip" ? createGzip() : createZstdCompress();
  const source = Readable.from(archive);
  const closed = new Promise<void>((done) => source.once("close", done));
  source.on("error", (error) => compressor.destroy(error)).pipe(compressor);
  try {
    yield* compressor;
  } finally {
    source.destroy();
    await closed;
  }
}

async function writeWhole(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let from = 0; from < bytes.length;)
    from += (await file.write(bytes, from, bytes.length - from)).bytesWritten;
}

function isSystem(error: unknown): boolean {
  return error instanceof Error && "syscall" in error;
}

function cannotWrite(path: string, error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  return new Failure("FV-SYS-001", `cannot write "${path}"`, { because: error.message });
}
