import { resolve } from "node:path";
import { buildah } from "./buildah.ts";

const root = resolve(import.meta.dir, "../..");

/**
 * Debian as an image, made of Debian's packages: no registry is asked. It is the root filesystem that the
 * demo provisions, `debian:bookworm-slim` but for busybox. Returns the image's name.
 */
export async function localBase(): Promise<string> {
  const archive = `${root}/.cache/debian-bookworm.tar.zst`;
  await makeArchive();
  const digest = new Bun.CryptoHasher("sha256").update(await Bun.file(archive).bytes());
  const name = `localhost/fly-vault-debian:${digest.digest("hex").slice(0, 12)}`;
  if (await isThere(name)) return name;
  const container = await buildah("from", "scratch");
  try {
    await buildah("add", "--quiet", container, archive, "/");
    await buildah("commit", "--quiet", container, name);
  } finally {
    await buildah("rm", container);
  }
  return name;
}

async function makeArchive(): Promise<void> {
  const child = Bun.spawn([`${root}/build/rootfs.sh`, "debian-bookworm"], {
    env: process.env,
    stdio: ["ignore", "inherit", "inherit"],
  });
  if ((await child.exited) !== 0) throw new Error("there is no root filesystem to build upon");
}

async function isThere(name: string): Promise<boolean> {
  return buildah("inspect", "--type", "image", name).then(
    () => true,
    () => false,
  );
}
