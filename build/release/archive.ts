import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";

export interface ArchiveFile {
  /** Below the archive's one folder. */
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly mode?: 0o755;
}

/** A tar.gz of one folder; the same files make the same bytes. */
export async function makeArchive(
  folder: string,
  files: readonly ArchiveFile[],
  epochSeconds: number,
): Promise<Uint8Array> {
  const archive = pack();
  const mtime = new Date(epochSeconds * 1000);
  for (const { name, bytes, mode = 0o644 } of files.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
    archive.entry(
      { name: `${folder}/${name}`, type: "file", mode, uid: 0, gid: 0, mtime },
      Buffer.from(bytes),
    );
  archive.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive) chunks.push(chunk);
  // No name and no time in its header.
  return gzipSync(Buffer.concat(chunks), { level: 9 });
}
