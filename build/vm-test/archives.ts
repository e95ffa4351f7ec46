import { makeRootfsArchive } from "../../test/support/rootfs-archive.ts";
import { randomBytes, seededRandom } from "../../test/support/seed.ts";

const stamps = 400;
const largeBytes = 1024 * 1024;

/**
 * A root filesystem in which every part says which one it is of: many small files with its name in each,
 * and a large one that no other has. Returns the archive's path.
 */
export async function stampedArchive(folder: string, name: string, seed: number): Promise<string> {
  const files: Record<string, string | Uint8Array> = {
    "/large": randomBytes(seededRandom(seed), largeBytes),
    "/etc/release": `${name}\n`,
  };
  for (let index = 0; index < stamps; index++)
    files[`/stamps/${index % 20}/${index}`] = `${name}\n`;
  return makeRootfsArchive(folder, { format: "tar.zst", files });
}

/** What `readStamps` prints where all of it is of this one and nothing is missing. */
export function wholeStamps(name: string, seed: number): string {
  const hash = new Bun.CryptoHasher("sha256");
  hash.update(randomBytes(seededRandom(seed), largeBytes));
  return `${stamps} ${name}\n${hash.digest("hex")}\n${name}\n`;
}

export const readStamps =
  "cat /stamps/*/* | busybox uniq -c | busybox awk '{ print $1, $2 }'; sha256sum </large | busybox cut -c1-64; cat /etc/release";
