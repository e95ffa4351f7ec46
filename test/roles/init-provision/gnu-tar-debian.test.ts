import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, ftruncateSync, lstatSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { debianRootfs } from "../../../build/demo/rootfs.ts";
import { attributes, type ListedFile, listing, Scratch } from "./scratch.ts";
import { run, Volume } from "./volume-fixture.ts";

// Where nobody has made the archive yet, it is made here.
setDefaultTimeout(600_000);

/** A whole distribution is the same tree, whether GNU tar unpacks it or we do, as init does it. */
describe("a Debian root filesystem", () => {
  const tree = new Scratch();
  let packed = "";

  beforeAll(async () => {
    packed = await debianRootfs();
    run("tar", "--zstd", ...everything, "-C", tree.root, "-xpf", packed);
  });

  afterAll(() => tree[Symbol.dispose]());

  test("as mmdebstrap packs it", async () => {
    const files = listing(tree.root);
    expect(files.length).toBeGreaterThan(3000);
    expect(files.some(({ mode }) => mode === "4755")).toBe(true);
    expect(files.some(({ links = 1 }) => links > 1)).toBe(true);
    await expectSame(packed, tree.root, tree.root);
  });

  for (const [program, packing, unpacking] of [
    ["tar", ["--sparse", "--format=pax", ...everything], everything],
    ["bsdtar", ["--format=pax", "--xattrs", "--numeric-owner"], ["--xattrs", "--numeric-owner"]],
  ] as const) {
    test(`as ${program} packs and unpacks it, with attributes and holes`, async () => {
      using theirs = new Scratch();
      enrich(tree.root);
      const again = join(theirs.dir, "again.tar.zst");
      run(program, ...packing, "--zstd", "-C", tree.root, "-cf", again, ".");
      run(program, ...unpacking, "-C", theirs.root, "-xpf", again);
      expect(attributes(theirs.root)).toContain("security.capability");
      await expectSame(again, theirs.root, tree.root);
      expect(lstatSync(join(theirs.root, image)).size).toBe(50_000_000);
    });
  }
});

const everything = ["--numeric-owner", "--xattrs", "--xattrs-include=*"];
const image = "var/lib/image";

/** What the packages of a small Debian do not bring. */
function enrich(root: string): void {
  // A file of two names.
  run("setcap", "cap_net_raw+ep", join(root, "usr/bin/perl"));
  run("setfattr", "-n", "user.note", "-v", "a = b", join(root, "etc/debian_version"));
  run("setfattr", "-n", "user.on-folder", "-v", "yes", join(root, "srv"));
  const fd = openSync(join(root, image), "w", 0o600);
  ftruncateSync(fd, 50_000_000);
  for (const at of [1_000_000, 20_000_000]) writeSync(fd, "some data", at);
  closeSync(fd);
}

/** bsdtar forgets the time of the root, so that one is compared with what was packed. */
async function expectSame(archive: string, theirs: string, source: string): Promise<void> {
  await using volume = new Volume();
  const staged = await volume.stage(readChunks(archive));
  const ours = volume.layout.next;
  const expected = listing(theirs);
  const devices = expected.filter(isDevice);
  expect(listing(ours)).toEqual(expected.filter((file) => !isDevice(file)));
  expect(summary(ours)).toEqual(summary(source));
  expect(attributes(ours)).toEqual(attributes(theirs));
  const said = staged.skipped.map((line) => Number(/^(\d+) × character device/.exec(line)?.[1]));
  expect(said).toEqual([devices.length]);
  await staged.discard();
}

/** A device is the one thing left out on purpose. */
function isDevice(file: ListedFile): boolean {
  return file.kind === "20000" || file.kind === "60000";
}

/** Of the root itself, which no listing has, and of the file with holes. */
function summary(root: string) {
  const { mode, uid, gid, mtimeMs } = lstatSync(root);
  const blocks = lstatSync(join(root, image), { throwIfNoEntry: false })?.blocks;
  return { mode, uid, gid, mtimeMs, blocks };
}

async function* readChunks(path: string): AsyncGenerator<Uint8Array> {
  for await (const chunk of Bun.file(path).stream()) yield chunk;
}
