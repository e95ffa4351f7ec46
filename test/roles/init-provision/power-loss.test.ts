import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataLayout } from "../../../src/roles/init/provision/data-layout.ts";
import { unlockFile } from "../../../src/roles/init/provision/lock-file.ts";
import { repairAtBoot } from "../../../src/roles/init/provision/repair.ts";
import { listing } from "./scratch.ts";
import { file } from "./tar-builder.ts";
import { Mount, rootfs, run, Volume } from "./volume-fixture.ts";

/**
 * The plug is pulled: the backing file of a mounted ext4 is copied while provisioning runs. A copy
 * holds exactly what had reached the disk; it is mounted (the journal replayed), repaired as at boot,
 * and must hold the old tree or the new one with every byte, and /root and /home as they were.
 */
const scratch = mkdtempSync(join(tmpdir(), "fv-power-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const files = Array.from({ length: 40 }, (_, index) =>
  file(`usr/file${index}`, crypto.getRandomValues(new Uint8Array(20_000))),
);
const archives = { "1": rootfs("1", ...files), "2": rootfs("2", ...files) };

/** What a tree made of this archive must look like, by a run nobody disturbs. */
async function whole(version: "1" | "2"): Promise<string> {
  await using volume = new Volume();
  await volume.provision(archives[version]);
  return fingerprint(volume.layout.rootfs);
}

function fingerprint(dir: string): string {
  return JSON.stringify(listing(dir), (key, value: unknown) =>
    key === "mtime" ? undefined : value,
  );
}

/** The image as it lies on the disk now, past the caches of the mounted file system. */
async function snapshot(image: string, name: string): Promise<string> {
  const copy = join(scratch, name);
  const copying = Bun.spawn(["cp", "--sparse=always", image, copy], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  expect(await copying.exited).toBe(0);
  return copy;
}

interface Found {
  readonly tree: string | undefined;
  readonly persist: string | undefined;
}

async function boot(image: string): Promise<Found> {
  const dir = mkdtempSync(join(scratch, "boot-"));
  run("mount", "-o", "loop", image, dir);
  const layout = dataLayout(join(dir, "data"));
  try {
    mkdirSync(layout.dataDir, { recursive: true });
    const { rootfs: exists } = await repairAtBoot(layout.dataDir, () => undefined);
    expect(readdirSync(layout.dataDir)).not.toContain("rootfs.next");
    const tree = exists ? fingerprint(layout.rootfs) : undefined;
    const persist = readdirSync(layout.dataDir).includes("persist")
      ? fingerprint(layout.persist)
      : undefined;
    return { tree, persist };
  } finally {
    unlockFile(layout.lock);
    // The trash is still being emptied by the repair: its descriptors go with the last file.
    await unmounted(dir);
    rmSync(image);
  }
}

async function unmounted(dir: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if (Bun.spawnSync(["umount", dir]).exitCode === 0) return;
    await Bun.sleep(50);
  }
  throw new Error(`${dir} stays busy`);
}

describe("power loss", () => {
  test("at any moment of the first and of the second provisioning", async () => {
    const [first, second] = [await whole("1"), await whole("2")];
    const mount = Mount.ext4(48);
    const images: { readonly name: string; readonly image: string }[] = [];
    let persist: string;
    {
      await using volume = new Volume(mount);
      run("sync", "-f", volume.dir);
      const during = async (phase: string, work: Promise<unknown>): Promise<void> => {
        const state = { running: true };
        const ended = work.finally(() => {
          state.running = false;
        });
        for (let index = 0; state.running && index < 12; index++) {
          images.push({ name: phase, image: await snapshot(mount.image, `${phase}-${index}`) });
        }
        await ended;
        // Nobody synced since: what activate() promised must be on the disk already.
        images.push({ name: `${phase}-done`, image: await snapshot(mount.image, `${phase}-done`) });
      };
      await during("fresh", volume.provision(archives["1"]));
      persist = fingerprint(volume.layout.persist);
      await during("upgrade", volume.provision(archives["2"]));
    }
    expect(images.length).toBeGreaterThan(6);
    for (const { name, image } of images) {
      const found = await boot(image);
      const allowed: Record<string, readonly (string | undefined)[]> = {
        fresh: [undefined, first],
        "fresh-done": [first],
        upgrade: [first, second],
        "upgrade-done": [second],
      };
      expect(allowed[name]?.includes(found.tree)).toBe(true);
      if (name === "fresh") expect([undefined, persist]).toContain(found.persist);
      else expect(found.persist).toBe(persist);
    }
  }, 180_000);
});
