import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { linkOf, namesIn } from "../../../src/system/proc-files.ts";
import { dir, endMark, file } from "./tar-builder.ts";
import { deltaOf } from "../../support/delta-archive.ts";
import { rootfs, unpackCommand, Volume } from "./volume-fixture.ts";

setDefaultTimeout(120_000);

/** What the child that unpacks can reach, looked at while it works. */
describe("while an archive is unpacked", () => {
  test("the child has namespaces of its own, no network, and the staging folder as its root", async () => {
    await using volume = new Volume();
    const gate = Promise.withResolvers<undefined>();
    async function* halting(): AsyncGenerator<Uint8Array> {
      yield dir("bin");
      yield file("bin/sh", "#!", { mode: 0o755 });
      await gate.promise;
      yield endMark;
    }
    const staging = volume.stage(halting());
    const pid = await childAtWork(volume.layout.next);
    for (const kind of ["mnt", "net"])
      expect(namespaceOf(pid, kind)).not.toBe(namespaceOf("self", kind));
    expect(readdirSync(`/proc/${pid}/root`)).toEqual(["bin"]);
    expect(readlinkSync(`/proc/${pid}/root`)).toBe(volume.layout.next);
    expect(interfacesOf(pid)).toEqual(["lo"]);
    expect(openElsewhere(pid, volume.layout.next)).toEqual([]);
    gate.resolve(undefined);
    const staged = await staging;
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    await staged.discard();
  });

  test("so has the one that puts it together, and the live tree, where it can write nothing", async () => {
    await using volume = new Volume();
    await volume.provision(rootfs("1"));
    const delta = await deltaOf(rootfs("2"));
    const lacking = Promise.withResolvers<Uint8Array>();
    const gate = Promise.withResolvers<undefined>();
    async function* halting(): AsyncGenerator<Uint8Array> {
      for await (const bytes of delta.upload.bytes(0, lacking.promise)) {
        yield bytes;
        await gate.promise;
      }
    }
    const { tar_sha256, tar_bytes, recipe_bytes, archive_sha256 } = delta.source;
    const staging = volume.stage(halting(), {
      sha256: tar_sha256,
      sizeBytes: tar_bytes,
      delta: {
        recipeBytes: recipe_bytes,
        archiveSha256: archive_sha256,
        onLacking: lacking.resolve,
      },
    });
    await lacking.promise;
    const pid = await childAtWork(volume.layout.rootfs);
    for (const kind of ["mnt", "net"])
      expect(namespaceOf(pid, kind)).not.toBe(namespaceOf("self", kind));
    expect(interfacesOf(pid)).toEqual(["lo"]);
    expect(openElsewhere(pid, volume.layout.rootfs)).toEqual([]);
    const mounts = readFileSync(`/proc/${pid}/mountinfo`, "utf8").split("\n");
    const root = mounts.filter((line) => line.split(" ")[4] === "/");
    expect(root).toEqual([expect.stringMatching(/ \/ ro,nosuid,nodev,noexec/)]);
    gate.resolve(undefined);
    const staged = await staging;
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    expect(staged.sha256).toBe(archive_sha256);
    await staged.activate();
    expect(volume.read("rootfs/version")).toBe("2");
  });
});

test("when memory runs out the child goes before the keeper, whatever it inherits", async () => {
  await using volume = new Volume();
  const gate = Promise.withResolvers<undefined>();
  async function* halting(): AsyncGenerator<Uint8Array> {
    yield file("bin/sh", "#!", { mode: 0o755 });
    await gate.promise;
    yield endMark;
  }
  const inheriting = ["sh", "-c", 'echo 500 > /proc/self/oom_score_adj; exec "$@"', "sh"];
  const staging = volume.stage(halting(), { unpackCommand: [...inheriting, ...unpackCommand] });
  const pid = await childAtWork(volume.layout.next);
  expect(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8")).toBe("0\n");
  gate.resolve(undefined);
  await (await staging).discard();
});

/** The process whose root is `folder`, once it has made something there. */
async function childAtWork(folder: string): Promise<string> {
  for (;;) {
    const found = readdirSync("/proc").find((pid) => /^\d+$/.test(pid) && hasRoot(pid, folder));
    if (found !== undefined && existsSync(`${folder}/bin/sh`)) return found;
    await Bun.sleep(20);
  }
}

function hasRoot(pid: string, folder: string): boolean {
  try {
    const [root, wanted] = [statSync(`/proc/${pid}/root/.`), statSync(folder)];
    return root.ino === wanted.ino && root.dev === wanted.dev;
  } catch {
    // Gone, not there yet, or not ours to look at.
    return false;
  }
}

function namespaceOf(pid: string, kind: string): string {
  return readlinkSync(`/proc/${pid}/ns/${kind}`);
}

function interfacesOf(pid: string): string[] {
  const lines = readFileSync(`/proc/${pid}/net/dev`, "utf8").split("\n").slice(2);
  return lines.filter((line) => line !== "").map((line) => line.split(":")[0]?.trim() ?? "");
}

/**
 * Descriptors of files outside the staging folder: nothing of the volume or of init may be among them.
 * It complains where we do, be it a file.
 */
function openElsewhere(pid: string, folder: string): string[] {
  return namesIn(`/proc/${pid}/fd`)
    .filter((fd) => fd !== "2")
    .map((fd) => linkOf(`/proc/${pid}/fd/${fd}`))
    .filter((target) => target.startsWith("/") && !target.startsWith(folder))
    .filter((target) => !target.startsWith("/dev/"));
}
