import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { system } from "../harness/sandbox.ts";

/**
 * Temporary files lie on an ext4 with a journal from here on, as Fly's volumes have it, in a file of this
 * machine's disk. Without one ext4 walks over all that was deleted in the last minutes for each new file: a
 * turn would be measured by how much the one before has removed. For inside the sandbox, which it ends with.
 */
export function useJournaledDisk(): void {
  const [image, folder] = [join(tmpdir(), "image"), join(tmpdir(), "disk")];
  system("truncate", "-s", sizeBytes, image);
  system("mkfs.ext4", "-q", "-F", image);
  mkdirSync(folder);
  // Past the page cache of the outer file system, or what is brought to this disk is on none yet.
  const device = system("losetup", "--find", "--show", "--direct-io=on", image).trim();
  system("mount", device, folder);
  // It is let go with the mount.
  system("losetup", "--detach", device);
  process.env["TMPDIR"] = folder;
}

const sizeBytes = String(12 * 1024 ** 3);
