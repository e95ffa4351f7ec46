import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Mount } from "../../test/roles/init-provision/volume-fixture.ts";
import { growth } from "../harness/growth.ts";
import { system } from "../harness/sandbox.ts";
import { RootfsTree } from "../peers/rootfs-tree.ts";
import type { Measured } from "./keeper.child.ts";

const entryBytes = 500;
/** With an inode for each of the entries. */
const diskMebibytes = 6144;
const keeper = fileURLToPath(new URL("keeper.child.ts", import.meta.url));

/** Entries of a root filesystem, of 500 bytes on average, on an empty ext4 each time. */
await growth({
  name: "entries",
  of: "entries",
  counts: [1000, 5000, 20_000, 50_000, 200_000],
  costs: [
    { name: "unpacked", unit: "s" },
    { name: "and on the disk", unit: "s" },
    { name: "tar -x", unit: "s" },
    { name: "memory of the unpacking child", unit: "MiB" },
    { name: "memory of init", unit: "MiB" },
  ],
  measure: async function* (counts) {
    for (const count of counts) {
      const scratch = mkdtempSync(join(tmpdir(), "entries-"));
      const size = { entries: count, bytes: count * entryBytes };
      const archive = new RootfsTree(join(scratch, "tree"), size).pack(join(scratch, "rootfs.tar"));
      const own = unpackOurs(archive);
      const tarMs = unpackTar(archive);
      rmSync(scratch, { recursive: true });
      yield {
        count,
        costs: {
          unpacked: own.unpackMs / 1000,
          "and on the disk": own.totalMs / 1000,
          "tar -x": tarMs / 1000,
          "memory of the unpacking child": own.childMib,
          "memory of init": own.initMib,
        },
      };
    }
  },
});

function unpackOurs(archive: string): Measured {
  using disk = Mount.ext4(diskMebibytes);
  return JSON.parse(system(process.execPath, keeper, disk.dir, archive)) as Measured;
}

function unpackTar(archive: string): number {
  using disk = Mount.ext4(diskMebibytes);
  const startMs = performance.now();
  system("tar", "-xpf", archive, "-C", disk.dir);
  return performance.now() - startMs;
}
