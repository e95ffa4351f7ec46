import { afterAll, describe, expect, test } from "bun:test";
import {
  closeSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tryLock } from "../../src/system/file-lock.ts";
import * as filesystem from "../../src/system/filesystem.ts";
import { SystemError } from "../../src/system/libc.ts";

const dir = mkdtempSync(join(tmpdir(), "fv-filesystem-"));
const fd = openSync(dir, filesystem.openFlags.directory);
afterAll(() => {
  closeSync(fd);
  rmSync(dir, { recursive: true });
});
const at = (name: string) => join(dir, name);

function failure(call: () => unknown): unknown {
  try {
    return call();
  } catch (error) {
    return error;
  }
}

function open(name: string, resolve: number): void {
  filesystem.closeFile(filesystem.openat2(fd, name, { flags: 0, resolve }));
}

describe("openat2", () => {
  mkdirSync(at("folder"));
  writeFileSync(at("folder/file"), "content");
  symlinkSync("folder", at("link"));
  symlinkSync("/etc", at("out"));
  const { beneath, noSymlinks, inRoot } = filesystem.resolveFlags;

  test("opens below the folder", () => {
    open("folder/file", beneath | noSymlinks);
    open("link/file", beneath);
  });

  const refused: readonly (readonly [string, number, string])[] = [
    ["link/file", beneath | noSymlinks, "ELOOP"],
    ["out/passwd", beneath, "EXDEV"],
    ["../x", beneath, "EXDEV"],
    ["/etc/passwd", beneath, "EXDEV"],
    ["out/passwd", inRoot, "ENOENT"],
    ["missing", beneath, "ENOENT"],
  ];
  for (const [name, resolve, code] of refused) {
    test(`refuses ${name} with ${code}`, () => {
      expect(failure(() => open(name, resolve))).toMatchObject({ name: "SystemError", code });
    });
  }

  test("descriptors do not reach children", () => {
    const opened = filesystem.openat2(fd, "folder/file", { flags: 0 });
    const flags = readFileSync(`/proc/self/fdinfo/${opened}`, "utf8");
    filesystem.closeFile(opened);
    expect(
      Number.parseInt(/flags:\s+(\d+)/.exec(flags)?.[1] ?? "0", 8) &
        filesystem.openFlags.closeOnExec,
    ).not.toBe(0);
  });
});

test("names made relative to a folder have the mode, owner, target and time asked for", () => {
  filesystem.mkdirat(fd, "made", 0o700);
  filesystem.mkfifoat(fd, "pipe", 0o600);
  filesystem.fchmodat(fd, "pipe", 0o620);
  filesystem.symlinkat(new Uint8Array([0xff, 0x2f]), fd, "raw");
  filesystem.lchownat(fd, "raw", 5, 6);
  filesystem.lutimesat(fd, "raw", { seconds: 1_500_000_000, nanoseconds: 250_000_000 });
  filesystem.linkat({ folder: fd, name: "raw" }, { folder: fd, name: "raw2" });
  expect(lstatSync(at("made")).mode & 0o7777).toBe(0o700);
  expect(lstatSync(at("pipe")).isFIFO()).toBe(true);
  expect(lstatSync(at("pipe")).mode & 0o7777).toBe(0o620);
  expect(lstatSync(at("raw2"))).toMatchObject({
    uid: 5,
    gid: 6,
    nlink: 2,
    mtimeMs: 1_500_000_000_250,
  });
  expect([...readlinkSync(at("raw"), { encoding: "buffer" })]).toEqual([0xff, 0x2f]);
  filesystem.unlinkat(fd, "raw2", { directory: false });
  filesystem.unlinkat(fd, "made", { directory: true });
  expect(failure(() => lstatSync(at("made")))).toMatchObject({ code: "ENOENT" });
});

test("an open file takes owner, mode, time and attributes", () => {
  const file = filesystem.openat2(fd, "open", {
    flags: filesystem.openFlags.create | filesystem.openFlags.writeOnly,
    mode: 0o600,
  });
  filesystem.fchown(file, 2 ** 32 - 2, 7);
  filesystem.fchmod(file, 0o4755);
  filesystem.futimes(file, { seconds: 2 ** 33, nanoseconds: 1 });
  filesystem.fsetxattr(file, "user.empty", new Uint8Array(0));
  filesystem.fsetxattr(file, "user.value", new Uint8Array([0, 1, 255]));
  expect([...(filesystem.fgetxattr(file, "user.value") ?? [])]).toEqual([0, 1, 255]);
  expect(filesystem.fgetxattr(file, "user.empty")?.length).toBe(0);
  expect(filesystem.fgetxattr(file, "user.missing")).toBeUndefined();
  filesystem.syncfs(file);
  filesystem.closeFile(file);
  const status = lstatSync(at("open"));
  expect(status).toMatchObject({ uid: 2 ** 32 - 2, gid: 7 });
  expect(status.mode & 0o7777).toBe(0o4755);
  expect(Math.floor(status.mtimeMs / 1000)).toBe(2 ** 33);
});

test("renameat2 exchanges, and does not replace where asked not to", () => {
  writeFileSync(at("a"), "a");
  writeFileSync(at("b"), "b");
  const [a, b] = [
    { folder: fd, name: "a" },
    { folder: fd, name: "b" },
  ];
  filesystem.renameat2(a, b, filesystem.renameFlags.exchange);
  expect(readFileSync(at("a"), "utf8")).toBe("b");
  const error = failure(() => filesystem.renameat2(a, b, filesystem.renameFlags.noReplace));
  expect(error).toBeInstanceOf(SystemError);
  expect(error).toMatchObject({ code: "EEXIST" });
});

test("freeSpace agrees with statfs", () => {
  const { bytes, inodes } = filesystem.freeSpace(fd);
  const { bavail, bsize, ffree } = statfsSync(dir);
  expect(Math.abs(bytes - bavail * bsize)).toBeLessThan(256 * 1024 * 1024);
  expect(Math.abs(inodes - ffree)).toBeLessThan(100_000);
});

test("a lock is held against other open files, and let go with the descriptor", () => {
  const first = openSync(at("lock"), "w");
  const second = openSync(at("lock"), "w");
  expect(tryLock(first)).toBe(true);
  expect(tryLock(second)).toBe(false);
  closeSync(first);
  expect(tryLock(second)).toBe(true);
  closeSync(second);
});
