import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { childOutcome } from "../child-outcome.ts";

const root = resolve(import.meta.dir, "../..");

/** buildah with a storage of our own in .cache: what is built here is not among somebody's images. */
export async function buildah(...words: readonly string[]): Promise<string> {
  const storage = join(root, ".cache/containers");
  await mkdir(storage, { recursive: true, mode: 0o700 });
  const argv = ["--root", join(storage, "root"), "--runroot", join(storage, "run"), ...words];
  const { out, err, code } = await childOutcome(["buildah", ...argv], {
    cwd: root,
    env: { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin`, HOME: process.env["HOME"] ?? "/root" },
  });
  if (code === 0) return out.trim();
  throw new Error(`buildah ${words.join(" ")} ended with ${code}\n${err}${out}`);
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
