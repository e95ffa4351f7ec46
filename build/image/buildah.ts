import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dir, "../..");

/** buildah with a storage of our own in .cache: what is built here is not among somebody's images. */
export async function buildah(...words: readonly string[]): Promise<string> {
  const storage = join(root, ".cache/containers");
  await mkdir(storage, { recursive: true, mode: 0o700 });
  const argv = ["--root", join(storage, "root"), "--runroot", join(storage, "run"), ...words];
  const child = Bun.spawn(["buildah", ...argv], {
    cwd: root,
    env: { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin`, HOME: process.env["HOME"] ?? "/root" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [text, complaints, code] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  if (code === 0) return text.trim();
  throw new Error(`buildah ${words.join(" ")} ended with ${code}\n${complaints}${text}`);
}

/** Shows the image's files as a folder to `look`. They are not the image's own: changing them changes nothing. */
export async function withFiles<T>(
  image: string,
  look: (folder: string) => Promise<T>,
): Promise<T> {
  const container = await buildah("from", "--pull-never", image);
  try {
    return await look(await buildah("mount", container));
  } finally {
    await buildah("rm", container);
  }
}
