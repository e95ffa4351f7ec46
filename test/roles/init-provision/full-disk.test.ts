import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { rejection } from "../../support/rejection.ts";
import { layout, SimVolume } from "./crash-scenarios.ts";
import { archive, file } from "./tar-builder.ts";
import { Mount, refusal, rootfs, run, Volume } from "./volume-fixture.ts";

setDefaultTimeout(120_000);

const shell = file("bin/sh", "#!", { mode: 0o755 });

async function* stuck(): AsyncGenerator<Uint8Array> {
  yield rootfs("1").subarray(0, 50);
  await new Promise(() => undefined);
}

function incompressible(bytes: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(Math.min(bytes, 65_536)));
}

function big(files: number, bytes: number): Uint8Array {
  const content = Buffer.alloc(bytes, incompressible(bytes));
  return archive(shell, ...Array.from({ length: files }, (_, i) => file(`big${i}`, content)));
}

/** Until there is no byte left. */
function fill(path: string): void {
  const fd = openSync(path, "w");
  try {
    for (;;) writeSync(fd, Buffer.alloc(4096));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
  } finally {
    closeSync(fd);
  }
}

function canMake(path: string): boolean {
  try {
    closeSync(openSync(path, "w"));
    return true;
  } catch {
    return false;
  }
}

describe("a full disk", () => {
  test("is foreseen by the size of an entry", async () => {
    await using volume = new Volume(Mount.tmpfs("size=8m"));
    const error = await refusal(volume.stage(big(1, 16 * 1024 * 1024)));
    expect(error).toMatchObject({ code: "disk-full" });
    expect(error.hint).toContain("extend");
  });

  test("is found out while writing, and gives the room back", async () => {
    await using volume = new Volume(Mount.ext4(24));
    await volume.provision(rootfs("1"));
    const free = () => Number(run("df", "--output=avail", "-B1", volume.dir).split("\n")[1]);
    const before = free();
    expect(await refusal(volume.stage(big(30, 1024 * 1024)))).toMatchObject({ code: "disk-full" });
    // Before the error is told, not some time after.
    expect(readdirSync(volume.layout.trash)).toEqual([]);
    expect(free()).toBeGreaterThan(before - 200_000);
    expect(volume.read("rootfs/version")).toBe("1");
    await volume.provision(rootfs("2"));
  });

  test("of inodes is one too", async () => {
    await using volume = new Volume(Mount.tmpfs("size=64m,nr_inodes=300"));
    const many = archive(shell, ...Array.from({ length: 600 }, (_, i) => file(`f${i}`)));
    expect(await refusal(volume.stage(many))).toMatchObject({ code: "disk-full" });
  });

  test("is refused before the first byte: nearly full, or less free than the archive has", async () => {
    await using volume = new Volume(Mount.tmpfs("size=12m"));
    await volume.provision(rootfs("1"));
    const sizeBytes = 13 * 1024 * 1024;
    expect(await refusal(volume.stage(stuck(), { sizeBytes }))).toMatchObject({
      code: "disk-full",
    });
    writeFileSync(join(volume.dir, "ballast"), Buffer.alloc(9 * 1024 * 1024));
    const error = await refusal(volume.stage(stuck()));
    expect(error).toMatchObject({ code: "disk-full" });
    expect(error.message).toContain("bytes free");
    expect(volume.read("rootfs/version")).toBe("1");
  });

  test("costs the note of what is there, not the boot and not the switch", async () => {
    await using volume = new Volume(Mount.tmpfs("size=12m"));
    await volume.provision(rootfs("1"));
    const staged = await volume.stage(rootfs("2"));
    fill(join(volume.dir, "ballast"));
    await staged.activate();
    expect(volume.events).toContain("state-not-written");
    rmSync(volume.layout.state);
    fill(join(volume.dir, "more ballast"));
    expect(await volume.restart()).toMatchObject({ rootfs: true, sha256: staged.sha256 });
    expect(volume.read("rootfs/version")).toBe("2");
    rmSync(join(volume.dir, "ballast"));
    expect(await volume.restart()).toMatchObject({ rootfs: true, sha256: staged.sha256 });
    expect(existsSync(volume.layout.state)).toBe(true);
  });

  test("does not keep the next boot from throwing a cut off upload away", async () => {
    await using volume = new Volume(Mount.tmpfs("size=8m,nr_inodes=200"));
    await volume.repair();
    mkdirSync(volume.layout.next);
    writeFileSync(join(volume.layout.next, "part"), Buffer.alloc(1024 * 1024));
    for (let i = 0; canMake(join(volume.dir, `inode${i}`)); i++);
    expect(await volume.restart()).toEqual({ rootfs: false, proven: true });
    expect(existsSync(volume.layout.next)).toBe(false);
  });

  test("drops the previous tree where both would not fit", async () => {
    await using volume = new Volume(Mount.ext4(26));
    const large = Buffer.alloc(9 * 1024 * 1024, incompressible(65_536));
    await volume.provision(rootfs("1", file("big", large)));
    expect(volume.events).toEqual([]);
    await volume.provision(rootfs("2"));
    expect(volume.read("rootfs.previous/version")).toBe("1");
    await volume.provision(rootfs("3", file("big", large)));
    expect(volume.events).toEqual(["provision-previous-dropped"]);
    expect(volume.read("rootfs/version")).toBe("3");
    expect(volume.read("rootfs.previous/version")).toBe("2");
  });
});

test("an archive that would not fit without the previous one either does not cost it", async () => {
  const volume = new SimVolume(SimVolume.empty(100 * 1024 ** 2));
  await volume.provision("1");
  await volume.provision("2");
  const refused = await rejection(volume.stage("3", 2 ** 40));
  expect(refused).toMatchObject({ code: "disk-full" });
  expect(String(refused)).toContain("the archive alone has 1099511627776");
  expect(volume.fs.exists(layout.previous)).toBe(true);
});
