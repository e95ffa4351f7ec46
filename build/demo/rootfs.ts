import { mkdir, rename, rm } from "node:fs/promises";
import { join, resolve } from "node:path";

const cache = resolve(import.meta.dir, "../../.cache");

/**
 * A Debian root filesystem, made from Debian's packages by mmdebstrap: minbase, with busybox for a
 * web server. Kept in `.cache`, for it is the same every time. Returns the archive's path.
 */
export async function debianRootfs(): Promise<string> {
  const archive = join(cache, "debian-bookworm.tar.zst");
  if (await Bun.file(archive).exists()) return archive;
  await mkdir(cache, { recursive: true });
  const partial = join(cache, "debian-bookworm.partial.tar.zst");
  await must([
    "mmdebstrap",
    "--quiet",
    "--variant=minbase",
    "--include=busybox",
    "bookworm",
    partial,
  ]);
  await rename(partial, archive);
  return archive;
}

/** The same archive with one more file, as a tar.gz this time: what a changed image looks like. */
export async function changedRootfs(archive: string, folder: string): Promise<string> {
  const changed = join(folder, "changed.tar.gz");
  const plain = join(folder, "changed.tar");
  const tree = join(folder, "tree");
  await mkdir(join(tree, "etc"), { recursive: true });
  await Bun.write(join(tree, "etc/demo-release"), "second image\n");
  await must(["zstd", "-q", "-d", "-f", archive, "-o", plain]);
  await must([
    "tar",
    "--append",
    `--file=${plain}`,
    `--directory=${tree}`,
    "--owner=0",
    "--group=0",
    "etc/demo-release",
  ]);
  await must(["gzip", "-1", plain]);
  await rm(tree, { recursive: true });
  await rename(`${plain}.gz`, changed);
  return changed;
}

async function must(command: readonly string[]): Promise<void> {
  const child = Bun.spawn([...command], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    env: process.env,
  });
  const words = await new Response(child.stderr).text();
  if ((await child.exited) !== 0) throw new Error(`${command[0]} failed: ${words}`);
}
