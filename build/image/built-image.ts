import { buildah } from "./buildah.ts";

export type Target = "init" | "proxy";

/** What an image says of itself in its labels. */
export interface Origin {
  readonly version: string;
  readonly revision: string;
  /** Where the sources are; empty where nobody said. */
  readonly source: string;
  /** Of the commit. */
  readonly createdMs: number;
}

/** Builds one target of the Containerfile upon `base`. Returns the image's name. */
export async function buildImage(target: Target, base: string, origin: Origin): Promise<string> {
  const name = `localhost/fly-vault-${target}:${origin.version}`;
  const unlabelled = `localhost/fly-vault-${target}:unlabelled`;
  await buildah(
    "build",
    "--quiet",
    "--isolation=chroot",
    // What is installed comes from the cache as long as neither the base nor those lines change.
    "--layers",
    base.startsWith("localhost/") ? "--pull-never" : "--pull",
    `--build-arg=BASE=${base}`,
    `--target=${target}`,
    // Files have no time, so that layers are the same from the cache and without.
    "--timestamp=0",
    `--tag=${unlabelled}`,
    ".",
  );
  await label(unlabelled, name, origin);
  // Of builds before this one nothing is kept but what the next can take from the cache, or what is in use.
  await buildah("rmi", "--prune").catch(() => undefined);
  return name;
}

/** Apart from the build, whose cache takes an image with other labels for the same (buildah 1.28). */
async function label(image: string, name: string, origin: Origin): Promise<void> {
  const container = await buildah("from", "--pull-never", image);
  try {
    await buildah("config", ...labels(origin).map((word) => `--label=${word}`), container);
    const seconds = Math.floor(origin.createdMs / 1000);
    await buildah("commit", "--quiet", `--timestamp=${seconds}`, container, name);
  } finally {
    await buildah("rm", container);
  }
}

function labels({ version, revision, source }: Origin): string[] {
  return Object.entries({ version, revision, source })
    .filter(([, value]) => value !== "")
    .map(([key, value]) => `org.opencontainers.image.${key}=${value}`);
}

/** Writes it as an OCI archive, which any registry takes. Returns the digest it has there. */
export async function exportImage(image: string, archive: string): Promise<string> {
  const digestFile = `${archive}.digest`;
  await Bun.file(archive)
    .delete()
    .catch(() => undefined);
  await buildah("push", "--quiet", "--digestfile", digestFile, image, `oci-archive:${archive}`);
  const digest = (await Bun.file(digestFile).text()).trim();
  await Bun.file(digestFile).delete();
  return digest;
}
