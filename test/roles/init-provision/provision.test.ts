import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { restorePrevious } from "../../../src/roles/init/provision/provision.ts";
import { emptyTrash, throwAway } from "../../../src/roles/init/provision/trash.ts";
import { sha256 } from "./scratch.ts";
import { archive, concat, device, file, symlink } from "./tar-builder.ts";
import { type Progress, refusal, rootfs, run, Volume } from "./volume-fixture.ts";

const shell = file("bin/sh", "#!", { mode: 0o755 });

// A small machine with other work takes its time.
setDefaultTimeout(120_000);

async function* stuck(): AsyncGenerator<Uint8Array> {
  yield rootfs("1").subarray(0, 50);
  await new Promise(() => undefined);
}

async function* dropping(): AsyncGenerator<Uint8Array> {
  yield rootfs("1").subarray(0, 100);
  await Bun.sleep(50);
  throw new RangeError("the line broke");
}

describe("provisioning", () => {
  test("an empty volume gets a root filesystem, a seed and a record", async () => {
    await using volume = new Volume();
    expect(await volume.repair()).toEqual({ rootfs: false, proven: true });
    const bytes = rootfs("1");
    const reports: Progress[] = [];
    const staged = await volume.stage(bytes, {
      onProgress: (report) => reports.push(report),
      sizeBytes: bytes.length,
    });
    expect(staged.sha256).toBe(sha256(bytes));
    expect(staged.entries).toBe(4);
    expect(volume.read("rootfs/version")).toBeUndefined();
    expect(existsSync(volume.layout.persist)).toBe(false);
    await staged.activate();
    expect(volume.read("rootfs/version")).toBe("1");
    expect(volume.read("persist/root/.profile")).toBe("profile of 1");
    expect(lstatSync(join(volume.dir, "persist/home/user/note"))).toMatchObject({ uid: 1000 });
    expect(lstatSync(join(volume.dir, "rootfs")).mode & 0o7777).toBe(0o755);
    expect(reports.at(-1)).toEqual({
      phase: "sync",
      received_bytes: bytes.length,
      total_bytes: bytes.length,
      entries: 4,
      written_bytes: staged.writtenBytes,
    });
    expect(await volume.restart()).toEqual({ rootfs: true, proven: true, sha256: sha256(bytes) });
    expect(readdirSync(volume.dir).toSorted()).toEqual([".fly-vault", "persist", "rootfs"]);
  });

  test("a second root filesystem replaces the first and never touches /root and /home", async () => {
    await using volume = new Volume();
    await volume.provision(rootfs("1"));
    writeFileSync(join(volume.dir, "persist/root/work"), "mine");
    await volume.provision(
      zstdCompressSync(
        archive(shell, file("version", "2"), file("root/.ssh/authorized_keys", "evil")),
      ),
    );
    expect(volume.read("rootfs/version")).toBe("2");
    expect(volume.read("rootfs.previous/version")).toBe("1");
    expect(volume.read("persist/root/work")).toBe("mine");
    expect(volume.read("persist/root/.profile")).toBe("profile of 1");
    expect(volume.read("persist/root/.ssh/authorized_keys")).toBeUndefined();
    await volume.provision(archive(shell, file("version", "3")));
    expect(volume.read("rootfs.previous/version")).toBe("2");
  });

  test("restorePrevious goes back, and forth again", async () => {
    await using volume = new Volume();
    await volume.provision(rootfs("1"));
    expect(await refusal(restorePrevious(volume.dir, volume.log))).toMatchObject({
      code: "not-found",
    });
    await volume.provision(rootfs("2"));
    await restorePrevious(volume.dir, volume.log);
    expect(volume.read("rootfs/version")).toBe("1");
    expect(await volume.restart()).toEqual({
      rootfs: true,
      proven: true,
      sha256: sha256(rootfs("1")),
    });
    await restorePrevious(volume.dir, volume.log);
    expect(volume.read("rootfs/version")).toBe("2");
    await restorePrevious(volume.dir, volume.log);
    await volume.provision(rootfs("3"));
    expect([volume.read("rootfs/version"), volume.read("rootfs.previous/version")]).toEqual([
      "3",
      "1",
    ]);
  });

  test("discard leaves everything as it was", async () => {
    await using volume = new Volume();
    await volume.provision(rootfs("1"));
    const staged = await volume.stage(rootfs("2"));
    await staged.discard();
    expect(volume.read("rootfs/version")).toBe("1");
    expect(existsSync(volume.layout.next)).toBe(false);
    expect(staged.activate()).rejects.toBeInstanceOf(TypeError);
  });

  test("what is left out is reported", async () => {
    await using volume = new Volume();
    const staged = await volume.stage(
      rootfs("1", device("dev/null", "3", 1, 3), device("dev/sda", "4", 8, 0)),
    );
    expect(staged.skipped).toEqual([
      "1 × character device, first dev/null",
      "1 × block device, first dev/sda",
    ]);
    await staged.discard();
  });
});

describe("a refused archive changes nothing and leaves nothing", () => {
  const truncated = rootfs("2").subarray(0, -20);
  const plain = archive(shell, file("version", "2"));
  const refused: readonly (readonly [string, Uint8Array, object])[] = [
    ["empty", new Uint8Array(0), { code: "archive-refused" }],
    ["text", Buffer.from("<html>not found</html>".repeat(50)), { code: "archive-format" }],
    ["xz", Buffer.from("fd377a585a000000ff", "hex"), { code: "archive-format" }],
    ["gzip cut short", truncated, { code: "archive-truncated" }],
    ["tar cut short", plain.subarray(0, 1536), { code: "archive-truncated" }],
    [
      "gzip with garbage behind",
      concat(rootfs("2"), Buffer.from("more")),
      { code: "archive-truncated" },
    ],
    [
      "dotdot",
      archive(shell, file("../x")),
      { code: "archive-refused", message: '../x: The path contains ".." (E_PATH_DOTDOT)' },
    ],
    ["link out", archive(shell, symlink("l", "/etc"), file("l/x")), { code: "archive-refused" }],
    [
      "layer",
      archive(shell, file("etc/.wh.passwd")),
      { code: "archive-refused", hint: "Flatten the image first: docker export, not docker save" },
    ],
    ["no shell", archive(file("version", "2")), { code: "archive-refused" }],
    ["/root a link", archive(shell, symlink("root", "/data")), { code: "archive-refused" }],
  ];
  for (const [title, bytes, expected] of refused) {
    test(title, async () => {
      await using volume = new Volume();
      await volume.provision(rootfs("1"));
      expect(await refusal(volume.stage(bytes))).toMatchObject(expected);
      await emptyTrash(volume.data);
      expect(volume.read("rootfs/version")).toBe("1");
      expect(readdirSync(volume.dir).toSorted()).toEqual([".fly-vault", "persist", "rootfs"]);
      expect(readdirSync(volume.layout.trash)).toEqual([]);
      await volume.provision(rootfs("2"));
      expect(volume.read("rootfs/version")).toBe("2");
    });
  }

  test("a digest that does not match", async () => {
    await using volume = new Volume();
    const bytes = rootfs("1");
    const error = await refusal(volume.stage(bytes, { sha256: "0".repeat(64) }));
    expect(error.code).toBe("digest-mismatch");
    expect(error.message).toContain(sha256(bytes));
    expect(existsSync(volume.layout.next)).toBe(false);
    expect(existsSync(volume.layout.persist)).toBe(false);
    await volume.provision(bytes, { sha256: sha256(bytes) });
  });

  test("another length than announced", async () => {
    await using volume = new Volume();
    const bytes = rootfs("1");
    const error = await refusal(volume.stage(bytes, { sizeBytes: bytes.length + 1 }));
    expect(error.code).toBe("archive-truncated");
  });

  test("an error of the sender comes through as it is", async () => {
    await using volume = new Volume();
    expect(await outcome(volume.stage(dropping()))).toBeInstanceOf(RangeError);
    expect(existsSync(volume.layout.next)).toBe(false);
  });

  test("cancelling while bytes are awaited, and while they are written", async () => {
    await using volume = new Volume();
    await volume.provision(rootfs("1"));
    for (const delayMs of [0, 20, 120]) {
      const cancel = new AbortController();
      async function* endless(): AsyncGenerator<Uint8Array> {
        yield archive(shell).subarray(0, -1024);
        for (let i = 0; ; i++) {
          yield file(`f${i}`, "x".repeat(1000));
          await Bun.sleep(1);
        }
      }
      const staging = volume.stage(endless(), { signal: cancel.signal });
      setTimeout(() => cancel.abort(), delayMs);
      expect(await refusal(staging)).toMatchObject({ code: "cancelled" });
      expect(existsSync(volume.layout.next)).toBe(false);
      expect(volume.read("rootfs/version")).toBe("1");
    }
  });

  test("an archive that stops arriving", async () => {
    await using volume = new Volume();
    const error = await refusal(volume.stage(stuck(), { archiveWaitMs: 100 }));
    expect(error).toMatchObject({ code: "cancelled", message: "The archive stopped arriving" });
    expect(existsSync(volume.layout.next)).toBe(false);
  });

  test("two at a time, and two inits", async () => {
    await using volume = new Volume();
    const first = volume.stage(rootfs("1"));
    expect(await refusal(volume.stage(rootfs("2")))).toMatchObject({ code: "busy" });
    const staged = await first;
    const other = Bun.spawnSync(
      [process.execPath, join(import.meta.dir, "repair.child.ts"), volume.dir],
      { env: { PATH: process.env["PATH"] ?? "" } },
    );
    expect(other.stdout.toString()).toContain("busy");
    expect(existsSync(volume.layout.next)).toBe(true);
    await staged.activate();
    expect(volume.read("rootfs/version")).toBe("1");
  });
});

describe("the trash", () => {
  test("is emptied of deep, odd and linked things, and nothing outside is touched", async () => {
    await using volume = new Volume();
    await volume.repair();
    const tree = join(volume.dir, "tree");
    mkdirSync(tree);
    run("sh", "-c", `cd ${tree} && for i in $(seq 300); do mkdir -p d && touch d/f && cd d; done`);
    const outside = join(volume.dir, "outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "keep"), "kept");
    symlinkSync(outside, join(tree, "link"));
    run("mkfifo", join(tree, "pipe"));
    throwAway(volume.data, tree);
    expect(existsSync(tree)).toBe(false);
    expect(await emptyTrash(volume.data)).toBe(0);
    expect(readdirSync(volume.layout.trash)).toEqual([]);
    expect(volume.read("outside/keep")).toBe("kept");
  });

  test("keeps what cannot be removed and says how much", async () => {
    await using volume = new Volume();
    await volume.repair();
    const tree = join(volume.dir, "tree");
    mkdirSync(tree);
    writeFileSync(join(tree, "stubborn"), "");
    run("chattr", "+i", join(tree, "stubborn"));
    throwAway(volume.data, tree);
    expect(await emptyTrash(volume.data)).toBe(1);
    run("chattr", "-R", "-i", volume.layout.trash);
    expect(await emptyTrash(volume.data)).toBe(0);
  });
});

async function outcome(work: Promise<unknown>): Promise<unknown> {
  try {
    return await work;
  } catch (error) {
    return error;
  }
}
