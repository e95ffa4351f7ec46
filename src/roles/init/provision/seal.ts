import { join } from "node:path";
import { type DataLayout, dataLayout, persistedFolders } from "./data-layout.ts";
import { linuxVolumeFs } from "./linux-volume-fs.ts";
import { writeMark } from "./mark.ts";
import { nothingMade, type Report } from "./report.ts";
import type { VolumeFs } from "./volume-fs.ts";

/**
 * After a good digest: copies the first seed of /root and /home, brings everything to disk, marks the
 * tree complete, and brings the mark to disk. In this order: a mark found after a power cut means that
 * all it stands on is there. In the child, because syncfs blocks for as long as the disk needs.
 */
export async function sealStaging(
  words: readonly string[],
  fs: VolumeFs = linuxVolumeFs,
): Promise<Report> {
  const [dataDir, sha256, generation, bytes] = words;
  if (
    dataDir === undefined ||
    sha256 === undefined ||
    generation === undefined ||
    bytes === undefined
  ) {
    throw new TypeError("init unpack seal DATA-DIR SHA256 GENERATION BYTES");
  }
  const layout = dataLayout(dataDir);
  if (!fs.exists(layout.persist)) await copySeed(layout, fs);
  fs.syncAll(layout.next);
  writeMark(fs, layout.next, {
    state: "complete",
    generation: Number(generation),
    sha256,
    bytes: Number(bytes),
  });
  fs.syncFolder(layout.next);
  fs.syncAll(layout.next);
  return nothingMade;
}

async function copySeed(layout: DataLayout, fs: VolumeFs): Promise<void> {
  fs.makeFolder(layout.persistNext, 0o755);
  for (const name of persistedFolders)
    await fs.copyTree(join(layout.next, name), join(layout.persistNext, name));
}
