import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmod, mkdtemp, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createPrivateFile,
  PrivateFileError,
  readPrivateFile,
  writePrivateFile,
} from "../../src/system/private-file.ts";
import { rejection } from "../support/rejection.ts";

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "fv-file-"));
  path = join(directory, "deep", "file");
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

const bytes = new TextEncoder().encode("words");

test("what was written is read, by its owner alone", async () => {
  await writePrivateFile(path, bytes);
  expect(await readPrivateFile(path, 100)).toEqual(bytes);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect((await stat(join(directory, "deep"))).mode & 0o777).toBe(0o700);
});

test("readPrivateFile gives undefined where there is nothing", async () => {
  expect(await readPrivateFile(path, 100)).toBeUndefined();
});

describe("readPrivateFile does not believe", () => {
  beforeEach(async () => {
    await writePrivateFile(path, bytes);
  });

  test("a file others can write", async () => {
    await chmod(path, 0o620);
    expect(await rejection(readPrivateFile(path, 100))).toBeInstanceOf(PrivateFileError);
  });

  test("a file too long", async () => {
    expect(await rejection(readPrivateFile(path, 4))).toBeInstanceOf(PrivateFileError);
    expect(await readPrivateFile(path, 5)).toEqual(bytes);
  });

  test("a link, a folder, a FIFO (which does not hang it either)", async () => {
    const link = join(directory, "link");
    await symlink(path, link);
    expect(await rejection(readPrivateFile(link, 100))).toBeInstanceOf(PrivateFileError);
    expect(await rejection(readPrivateFile(directory, 100))).toBeInstanceOf(PrivateFileError);
    const fifo = join(directory, "fifo");
    Bun.spawnSync(["mkfifo", "-m", "600", fifo], { env: { PATH: "/usr/bin:/bin" } });
    expect(await rejection(readPrivateFile(fifo, 100))).toBeInstanceOf(PrivateFileError);
  });
});

test("writePrivateFile replaces, and leaves nothing beside", async () => {
  await writePrivateFile(path, bytes);
  await writePrivateFile(path, new Uint8Array(3));
  expect(await readPrivateFile(path, 100)).toEqual(new Uint8Array(3));
  expect(await readdir(join(directory, "deep"))).toEqual(["file"]);
});

test("of many writers at once, one file comes whole", async () => {
  const writers = Array.from({ length: 20 }, (_, index) => new Uint8Array(1000).fill(index));
  await Promise.all(writers.map((each) => writePrivateFile(path, each)));
  const read = await readPrivateFile(path, 1000);
  expect(writers).toContainEqual(new Uint8Array(read ?? []));
  expect(await readdir(join(directory, "deep"))).toEqual(["file"]);
});

test("of many creators at once, one is first", async () => {
  const creators = Array.from({ length: 20 }, (_, index) => Uint8Array.of(index));
  const made = await Promise.all(creators.map((each) => createPrivateFile(path, each)));
  expect(made.filter(Boolean)).toHaveLength(1);
  expect(await readPrivateFile(path, 10)).toEqual(Uint8Array.of(made.indexOf(true)));
  expect(await readdir(join(directory, "deep"))).toEqual(["file"]);
});

test("a folder that is a file is an error, and nothing is left beside", async () => {
  await writeFile(join(directory, "deep"), "");
  expect(await rejection(writePrivateFile(path, bytes))).toMatchObject({ code: "EEXIST" });
  expect(await readdir(directory)).toEqual(["deep"]);
});
