import { localBase } from "../image/base-image.ts";
import { withFiles } from "../image/buildah.ts";
import { buildImage } from "../image/built-image.ts";
import { originHere } from "../image/origin.ts";

/** The files of init's image as the file system that a machine boots from. Returns the image's name. */
export async function makeRootDisk(path: string): Promise<string> {
  const image = await buildImage("init", await localBase(), originHere(""));
  await withFiles(image, async (files) => {
    const child = Bun.spawn(["mkfs.ext4", "-q", "-F", "-d", files, path, "1G"], {
      env: { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` },
      stdio: ["ignore", "ignore", "inherit"],
    });
    if ((await child.exited) !== 0) throw new Error("mkfs.ext4 failed");
  });
  return image;
}
