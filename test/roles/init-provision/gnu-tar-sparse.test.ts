import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  closeSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  utimesSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { seed, seededRandom } from "../../support/seed.ts";
import { listing, Scratch, unpackInto } from "./scratch.ts";
import { run } from "./volume-fixture.ts";

setDefaultTimeout(120_000);

/** Sparse files as GNU tar and bsdtar write them come out with the same content, and as sparse as they were. */
const block = 4096;

/** Name, size, and the blocks that hold data. */
const shapes: readonly (readonly [string, number, readonly number[]])[] = [
  ["empty", 0, []],
  ["all-hole", 1_000_000, []],
  ["leading-hole", 20 * block, [19]],
  ["trailing-hole", 20 * block + 7, [0]],
  ["hole-in-the-middle", 20 * block + 100, [0, 1, 20]],
  ["four-segments", 40 * block, [0, 10, 20, 30]],
  ["five-segments", 41 * block, [0, 10, 20, 30, 40]],
  ["many-segments", 400 * block, Array.from({ length: 200 }, (_, index) => index * 2)],
  ["many-and-odd", 103 * block + 1, Array.from({ length: 52 }, (_, index) => index * 2 + 1)],
  ["large", 64 * 2 ** 20, [0, 8000, 16_383]],
  [`long-${"name".repeat(40)}`, 30 * block, [3, 9]],
];

function makeSparse(path: string, sizeBytes: number, blocks: readonly number[]): void {
  const fd = openSync(path, "w");
  ftruncateSync(fd, sizeBytes);
  for (const index of blocks) {
    const length = Math.min(block, sizeBytes - index * block);
    writeSync(fd, Buffer.alloc(length, `${index},`), 0, length, index * block);
  }
  closeSync(fd);
  // The GNU formats know whole seconds only.
  utimesSync(path, 1_700_000_000, 1_700_000_000);
}

function makeTree(root: string): void {
  mkdirSync(join(root, "d"));
  for (const [name, sizeBytes, blocks] of shapes)
    makeSparse(join(root, "d", name), sizeBytes, blocks);
  makeSparse(join(root, "plain"), 5000, [0, 1]);
  for (const folder of [join(root, "d"), root]) utimesSync(folder, 1_700_000_000, 1_700_000_000);
}

/** Sectors on disk: those of the data, and one or two blocks where ext4 keeps a long list of extents. */
function expectHoles(root: string): void {
  for (const [name, , blocks] of shapes) {
    const found = lstatSync(join(root, "d", name)).blocks;
    const data = (blocks.length * block) / 512;
    expect([name, found >= data && found <= data + 16 ? data : found]).toEqual([name, data]);
  }
}

/** `unpackInto` with slices of any length, small and large mixed. */
function* randomSlices(bytes: Uint8Array): Generator<Uint8Array> {
  const random = seededRandom(seed);
  for (let at = 0; at < bytes.length;) {
    const length = 1 + Math.floor(random() ** 4 * 100_000);
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

const writers: readonly (readonly [string, readonly string[]])[] = [
  ["tar --format=gnu", ["tar", "--sparse", "--format=gnu"]],
  ["tar --format=oldgnu", ["tar", "--sparse", "--format=oldgnu"]],
  ...["0.0", "0.1", "1.0"].map(
    (version) =>
      [
        `tar --sparse-version=${version}`,
        ["tar", "--sparse", "--format=pax", `--sparse-version=${version}`],
      ] as const,
  ),
  // Finds holes by reading: another map than by SEEK_HOLE.
  ["tar --hole-detection=raw", ["tar", "--sparse", "--hole-detection=raw", "--format=pax"]],
  ["bsdtar", ["bsdtar", "--format=pax"]],
];

describe("sparse files", () => {
  for (const [title, command] of writers) {
    test(`of ${title}, with seed ${seed}`, () => {
      using tree = new Scratch();
      using ours = new Scratch();
      using sliced = new Scratch();
      makeTree(tree.root);
      const packed = join(tree.dir, "packed.tar");
      run(...command, "-C", tree.root, "-cf", packed, ".");
      const bytes = readFileSync(packed);
      // Without holes it would be gigabytes.
      expect(bytes.length).toBeLessThan(4_000_000);
      const { skipped } = unpackInto(ours.root, bytes);
      expect(skipped).toEqual([]);
      expect(listing(ours.root)).toEqual(listing(tree.root));
      expectHoles(ours.root);
      unpackInto(sliced.root, randomSlices(bytes));
      expect(listing(sliced.root)).toEqual(listing(tree.root));
    });
  }

  test("of more bytes than an octal field can count", () => {
    for (const [title, command] of writers) {
      using tree = new Scratch();
      using ours = new Scratch();
      const blocks = [1, 2_300_000];
      makeSparse(join(tree.root, "s"), 9 * 2 ** 30, blocks);
      const packed = join(tree.dir, "packed.tar");
      // Looking for holes by reading takes its time.
      if (title.includes("raw")) continue;
      run(...command, "-C", tree.root, "-cf", packed, ".");
      unpackInto(ours.root, readFileSync(packed));
      const status = lstatSync(join(ours.root, "s"));
      expect([status.size, status.blocks]).toEqual([9 * 2 ** 30, (blocks.length * block) / 512]);
      for (const index of blocks) {
        const found = Buffer.alloc(block);
        const fd = openSync(join(ours.root, "s"), "r");
        readSync(fd, found, 0, block, index * block);
        closeSync(fd);
        expect(found.equals(Buffer.alloc(block, `${index},`))).toBe(true);
      }
    }
  });

  test("one byte at a time", () => {
    for (const [, command] of writers) {
      using tree = new Scratch();
      using ours = new Scratch();
      makeSparse(join(tree.root, "s"), 103 * block + 1, [3, 50, 52, 54, 56, 102]);
      const packed = join(tree.dir, "packed.tar");
      run(...command, "-C", tree.root, "-cf", packed, ".");
      unpackInto(ours.root, readFileSync(packed), { slice: 1 });
      expect(listing(ours.root)).toEqual(listing(tree.root));
    }
  });
});
