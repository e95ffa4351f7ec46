import { buildah } from "./buildah.ts";

export type Target = "init" | "proxy";

/** What an image says of itself in its labels. */
export interface Origin {
  readonly version: string;
  readonly revision: string;
  /** Where the sources are; empty where nobody said. */
  readonly source: string;
  /** Of the commit. No file of the image is younger, so the same files are the same image. */
  readonly createdMs: number;
}

/** Builds one target of the Containerfile upon `base`. Returns the image's name. */
export async function buildImage(target: Target, base: string, origin: Origin): Promise<string> {
  const name = `localhost/fly-vault-${target}:${origin.version}`;
  const local = base.startsWith("localhost/");
  await buildah(
    "build",
    "--quiet",
    "--isolation=chroot",
    // What is installed comes from the cache as long as neither the base nor those lines change.
    "--layers",
    local ? "--pull-never" : "--pull",
    `--build-arg=BASE=${base}`,
    `--target=${target}`,
    `--timestamp=${Math.floor(origin.createdMs / 1000)}`,
    `--build-arg=VERSION=${origin.version}`,
    `--build-arg=REVISION=${origin.revision}`,
    `--build-arg=SOURCE=${origin.source}`,
    `--tag=${name}`,
    ".",
  );
  return name;
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
