import { expect, test } from "bun:test";
import {
  closeSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lookAt, lookOf } from "../../src/system/file-look.ts";

test("lookAt says of a name what lstat does, before 1970 too, and nothing of none", () => {
  const path = mkdtempSync(join(tmpdir(), "fv-look-"));
  const folder = openSync(path, "r");
  try {
    writeFileSync(join(path, "file"), "content", { mode: 0o640 });
    utimesSync(join(path, "file"), 5, 5.5);
    writeFileSync(join(path, "old"), "");
    utimesSync(join(path, "old"), -5, -4.5);
    mkdirSync(join(path, "folder"));
    symlinkSync("nowhere", join(path, "link"));
    Bun.spawnSync(["mkfifo", join(path, "pipe")]);
    for (const name of ["file", "old", "folder", "link", "pipe"]) {
      const stats = lstatSync(join(path, name), { bigint: true });
      expect(lookAt(folder, Buffer.from(name))).toEqual(lookOf(stats));
    }
    expect(lookAt(folder, Buffer.from("file"))).toMatchObject({ kind: "file", size: 7 });
    expect(lookAt(folder, Buffer.from("none"))).toBeUndefined();
    expect(() => lookAt(folder, Buffer.from("file/x"))).toThrow("ENOTDIR");
  } finally {
    closeSync(folder);
    rmSync(path, { recursive: true });
  }
});
