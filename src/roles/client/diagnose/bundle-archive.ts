import { pack } from "tar-stream";

export interface BundleFile {
  readonly name: string;
  readonly text: string;
}

/** A tar file in zstd, all of it in one folder. */
export async function packBundle(
  files: readonly BundleFile[],
  wallMs: number,
): Promise<Uint8Array> {
  const archive = pack();
  const mtime = new Date(wallMs);
  for (const { name, text } of files)
    archive.entry(
      { name: `fly-vault-bundle/${name}`, type: "file", mode: 0o600, uid: 0, gid: 0, mtime },
      Buffer.from(text),
    );
  archive.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive) chunks.push(chunk);
  return Bun.zstdCompressSync(Buffer.concat(chunks));
}
