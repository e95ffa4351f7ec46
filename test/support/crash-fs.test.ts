import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { linuxVolumeFs } from "../../src/roles/init/provision/linux-volume-fs.ts";
import type { VolumeFs } from "../../src/roles/init/provision/volume-fs.ts";
import { hasCode } from "../../src/system/filesystem.ts";
import { CrashFs } from "./crash-fs.ts";
import { seed, seededRandom } from "./seed.ts";

/** A value, or the code of the error. */
async function outcome(step: () => unknown): Promise<unknown> {
  try {
    return await step();
  } catch (error) {
    const codes = ["ENOENT", "EEXIST", "ENOTEMPTY", "ENOTDIR"];
    return codes.find((code) => hasCode(error, code)) ?? error;
  }
}

/** Every call of the interface, those that fail too. */
async function script(fs: VolumeFs, top: string): Promise<unknown[]> {
  const path = (name: string): string => join(top, name);
  const steps: (() => unknown)[] = [
    () => fs.exists(path("a")),
    () => fs.readMark(path("a")),
    () => fs.makeFolder(path("a"), 0o755),
    () => fs.makeFolder(path("a"), 0o755),
    () => fs.readMark(path("a")),
    () => fs.writeMark(path("a"), "first"),
    () => fs.writeMark(path("a"), "second"),
    () => fs.writeMark(path("none"), "nothing"),
    () => fs.writeFile(path("a/file"), "x".repeat(10_000)),
    () => fs.readMark(path("a/file")),
    () => fs.readFile(path("a/file"), 10_000)?.length,
    () => fs.readFile(path("a/file"), 9999),
    () => fs.readFile(path("a/none"), 10),
    () => fs.makeFolder(path("b"), 0o755),
    () => fs.rename(path("a"), path("b"), "free"),
    () => fs.rename(path("a"), path("c"), "exchange"),
    () => fs.rename(path("none"), path("c"), "free"),
    () => fs.rename(path("b"), path("a"), "replace"),
    () => fs.rename(path("a"), path("b"), "exchange"),
    () => [fs.readMark(path("a")), fs.readMark(path("b"))],
    () => fs.rename(path("b/file"), path("a/moved"), "free"),
    async () => fs.copyTree(path("a"), path("b/copy")),
    () => fs.readFile(path("b/copy/moved"), 10_000)?.length,
    () => fs.rename(path("a"), path("c"), "replace"),
    () => [fs.exists(path("a")), fs.exists(path("c/moved"))],
    () => fs.syncFolder(path("c")),
    () => fs.syncFolder(path("none")),
    () => fs.syncFolder(path("c/moved")),
    () => fs.syncAll(path("c")),
    () => fs.lock(path("lock")),
    () => fs.lock(path("lock")),
    async () => fs.emptyFolder(path("b")),
    () => fs.exists(path("b/copy")),
    () => fs.freeBytes(top) > 0,
  ];
  const outcomes: unknown[] = [];
  for (const step of steps) outcomes.push(await outcome(step));
  return outcomes;
}

test("the simulated disk does what Linux does", async () => {
  const top = mkdtempSync(join(tmpdir(), "fv-contract-"));
  try {
    const simulated = new CrashFs();
    simulated.makeFolder("/top");
    const real = await script(linuxVolumeFs, top);
    expect(await script(simulated, "/top")).toEqual(real);
    expect(real.filter((one) => one instanceof Error)).toEqual([]);
  } finally {
    rmSync(top, { recursive: true });
  }
});

/** The first letters of the two blocks of /file. */
function blocks(image: CrashFs): string {
  const text = image.readFile("/file", 8192) ?? "";
  return `${text[0] ?? ""}${text[4096] ?? ""}`;
}

/** What was seen in many crashes after the last step. */
function seen(fs: CrashFs, look: (image: CrashFs) => unknown): Set<unknown> {
  const random = seededRandom(seed);
  return new Set(Array.from({ length: 500 }, () => look(fs.crash(fs.steps, random))));
}

function withFolders(...names: readonly string[]): CrashFs {
  const fs = new CrashFs();
  for (const name of names) fs.plant(`/${name}`, { of: name });
  return fs.settled();
}

describe("after a power cut", () => {
  test("a name that was not synced is there or not, one that was is there", () => {
    const fs = withFolders();
    fs.makeFolder("/a");
    expect(seen(fs, (image) => image.exists("/a"))).toEqual(new Set([true, false]));
    fs.syncFolder("/");
    expect(seen(fs, (image) => image.exists("/a"))).toEqual(new Set([true]));
  });

  test("an exchange happened or did not, never half of it", () => {
    const fs = withFolders("a", "b");
    fs.rename("/a", "/b", "exchange");
    const found = seen(fs, (image) =>
      [image.readFile("/a/of", 9), image.readFile("/b/of", 9)].join(),
    );
    expect(found).toEqual(new Set(["a,b", "b,a"]));
  });

  test("renames of other names come in any order, of the same name in theirs", () => {
    const fs = withFolders("a", "b");
    fs.rename("/a", "/c", "free");
    fs.rename("/b", "/d", "free");
    fs.rename("/c", "/e", "free");
    const found = seen(fs, (image) => image.disk.names("/").toSorted().join(""));
    expect(found).toEqual(new Set(["ab", "ad", "bc", "be", "cd", "de"]));
  });

  test("content that was not synced is old, empty, new or torn, though its name is synced", () => {
    const fs = withFolders();
    fs.plant("/file", "1".repeat(8192));
    fs.syncAll("/");
    fs.plant("/file", "2".repeat(8192));
    fs.syncFolder("/");
    const contents = seen(fs, blocks);
    for (const one of ["11", "", "22", "12", "21", "\u00002", "2\0"])
      expect(contents).toContain(one);
    fs.writeFile("/file", "3".repeat(8192));
    expect(seen(fs, blocks)).toEqual(new Set(["33"]));
  });

  test("a mark is old or new until its folder is synced", () => {
    const fs = withFolders("a");
    fs.writeMark("/a", "new");
    fs.syncFolder("/");
    expect(seen(fs, (image) => image.readMark("/a"))).toEqual(new Set(["", "new"]));
    fs.syncFolder("/a");
    expect(seen(fs, (image) => image.readMark("/a"))).toEqual(new Set(["new"]));
  });
});
