import { mkdir, rename, rm } from "node:fs/promises";
import { join, resolve } from "node:path";

/** A Debian root filesystem, minbase, with busybox for a web server. Returns the archive's path. */
export async function debianRootfs(): Promise<string> {
  await must([join(import.meta.dir, "../rootfs.sh"), "debian-bookworm"]);
  return resolve(import.meta.dir, "../../.cache/debian-bookworm.tar.zst");
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
