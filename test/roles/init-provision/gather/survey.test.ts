import { expect, test } from "bun:test";
import {
  closeSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { PieceSet } from "../../../../src/protocol/piece-set.ts";
import { provisionLimits } from "../../../../src/roles/init/provision/limits.ts";
import { mkdirat, openat2, openFlags } from "../../../../src/system/filesystem.ts";
import { randomBytes, seed, seededRandom } from "../../../support/seed.ts";
import { uploadOf } from "../../../support/delta-archive.ts";
import { deltaOfFiles, GatherStage } from "./gather-stage.ts";

const noise = randomBytes(seededRandom(seed), 400_000);
const wanted = noise.subarray(0, 5000);
const delta = await deltaOfFiles({ a: wanted });
const nothing = PieceSet.none(delta.recipe.pieces);

test("links, FIFOs, devices and files with holes are not looked into", () => {
  using stage = new GatherStage();
  const outside = new GatherStage({ secret: wanted });
  using _ = outside;
  symlinkSync(join(outside.tree, "secret"), join(stage.tree, "link"));
  symlinkSync(outside.tree, join(stage.tree, "folder"));
  symlinkSync("loop", join(stage.tree, "loop"));
  const env = { PATH: process.env["PATH"] ?? "" };
  Bun.spawnSync(["mkfifo", join(stage.tree, "fifo")], { env });
  Bun.spawnSync(["mknod", join(stage.tree, "zero"), "c", "1", "5"], { env });
  stage.write("sparse", wanted);
  truncateSync(join(stage.tree, "sparse"), 2 ** 40);
  expect(stage.lacking(delta)).not.toEqual(nothing);
  stage.write("z/plain", wanted);
  expect(stage.lacking(delta)).toEqual(nothing);
});

test("a folder that becomes a link to another one is not followed when its piece is read", async () => {
  using outside = new GatherStage({ file: wanted });
  using stage = new GatherStage({ "folder/file": wanted });
  const upload = await uploadOf(delta, stage.lacking(delta));
  const swap = (): void => {
    renameSync(join(stage.tree, "folder"), join(stage.tree, "moved"));
    symlinkSync(outside.tree, join(stage.tree, "folder"));
  };
  const run = () => stage.gather(upload, delta, { onLacking: swap });
  expect(run).toThrow(expect.objectContaining({ code: "pieces-changed" }));
});

test("a file that comes to be a folder, and a path longer than the kernel opens, are lacking", async () => {
  using stage = new GatherStage({ file: wanted });
  const upload = await uploadOf(delta, stage.lacking(delta));
  const swap = (): void => {
    rmSync(join(stage.tree, "file"));
    mkdirSync(join(stage.tree, "file"));
  };
  const run = () => stage.gather(upload, delta, { onLacking: swap });
  expect(run).toThrow(expect.objectContaining({ code: "pieces-changed" }));
  writeDeep(stage.tree, "d".repeat(250), 20);
  expect(stage.lacking(delta)).not.toEqual(nothing);
  Bun.spawnSync(["rm", "-rf", "d".repeat(250)], { cwd: stage.tree });
});

/** A file in as many folders of that name, deeper than paths reach. */
function writeDeep(root: string, name: string, depth: number): void {
  let folder = openSync(root, "r");
  for (let level = 0; level < depth; level++) {
    mkdirat(folder, name, 0o755);
    const inner = openat2(folder, name, { flags: openFlags.directory });
    closeSync(folder);
    folder = inner;
  }
  const flags = openFlags.writeOnly | openFlags.create;
  const fd = openat2(folder, "file", { flags, mode: 0o644 });
  writeSync(fd, wanted);
  closeSync(fd);
  closeSync(folder);
}

const usual = provisionLimits;

test("a tree beyond a limit is read in part", () => {
  using deep = new GatherStage({ "1/2/3/a": wanted });
  expect(deep.lacking(delta, { limits: { ...usual, surveyDepthMax: 3 } })).toEqual(nothing);
  expect(deep.lacking(delta, { limits: { ...usual, surveyDepthMax: 2 } })).not.toEqual(nothing);
  expect(deep.lacking(delta, { limits: { ...usual, surveyNamesMax: 4 } })).toEqual(nothing);
  expect(deep.lacking(delta, { limits: { ...usual, surveyNamesMax: 3 } })).not.toEqual(nothing);
  let nowMs = 0;
  const now = (): number => (nowMs += 10);
  expect(deep.lacking(delta, { now, limits: { ...usual, surveyMs: 1000 } })).toEqual(nothing);
  expect(deep.lacking(delta, { now, limits: { ...usual, surveyMs: 15 } })).not.toEqual(nothing);
});

test("of a folder with more names than may be read the first are", () => {
  using stage = new GatherStage();
  for (let index = 0; index < 200; index++) stage.write(`file-${index}`, noise.subarray(0, 100));
  const files: number[] = [];
  const more = { now: tick(300), onProgress: (count: number) => void files.push(count) };
  stage.lacking(delta, { ...more, limits: { ...usual, surveyMs: 1e9, surveyNamesMax: 100 } });
  expect(files.at(-1)).toBe(100);
});

test("of pieces in more files than there is room for paths those in the first are found", async () => {
  const contents = [0, 1, 2].map((part) => noise.subarray(part * 10_000, part * 10_000 + 5000));
  const files = Object.fromEntries(contents.map((bytes, part) => [`file-${part}`, bytes]));
  const wish = await deltaOfFiles(files);
  using stage = new GatherStage(files);
  const lackingWith = (surveyPathBytesMax: number): number => {
    const lacking = stage.lacking(wish, { limits: { ...usual, surveyPathBytesMax } });
    return [0, 1, 2].filter((piece) => lacking.has(piece)).length;
  };
  expect([15, 16, 23, 24].map(lackingWith)).toEqual([2, 1, 1, 0]);
  expect(lackingWith(5)).toBe(3);
});

test("nothing more is read once all that is asked for was found", () => {
  using stage = new GatherStage();
  for (let index = 0; index < 20; index++) stage.write(`file-${index}`, wanted);
  const files: number[] = [];
  const more = { now: tick(300), onProgress: (count: number) => void files.push(count) };
  expect(stage.lacking(delta, { ...more, limits: { ...usual, surveyMs: 1e9 } })).toEqual(nothing);
  expect(files.at(-1)).toBe(1);
});

function tick(stepMs: number): () => number {
  let nowMs = 0;
  return () => (nowMs += stepMs);
}
