import { expect, test } from "bun:test";
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DescriptorFolder } from "../../../src/system/copy/descriptor-folder.ts";
import { createdMode, type Folder } from "../../../src/system/copy/folder.ts";
import { PathFolder } from "../../../src/system/copy/path-folder.ts";

const name = (text: string): Buffer => Buffer.from(text);
const kinds: readonly (readonly [string, (path: string) => Folder])[] = [
  ["by descriptor", (path) => DescriptorFolder.open(name(path))],
  ["by path", (path) => PathFolder.open(name(path))],
];

test.each(kinds)("a folder %s does what it is asked and follows no link", (_kind, open) => {
  const path = mkdtempSync(join(tmpdir(), "fv-folder-"));
  try {
    const folder = open(path);
    expect(folder.look(name("none"))).toBeUndefined();
    const fd = folder.create(name("new"), 0o600);
    writeSync(fd, "content");
    folder.setFileTime(fd, { seconds: 5, nanoseconds: 500_000_000 });
    closeSync(fd);
    expect(() => folder.create(name("new"), 0o600)).toThrow("EEXIST");
    expect(statSync(join(path, "new")).mode & 0o777).toBe(0o600);
    expect(statSync(join(path, "new")).mtimeMs).toBe(5500);
    for (const mode of [0o400, 0o666, 0o755]) {
      closeSync(folder.create(name(`mode-${mode}`), mode));
      expect(statSync(join(path, `mode-${mode}`)).mode & 0o7777).toBe(createdMode(mode));
    }
    folder.rename(name("new"), name("file"));
    expect(folder.look(name("file"))).toMatchObject({ kind: "file", size: 7 });
    folder.link(name("/tmp"), name("link"));
    folder.setLinkTime(name("link"), { seconds: 7, nanoseconds: 0 });
    expect(readlinkSync(join(path, "link"))).toBe("/tmp");
    expect(lstatSync(join(path, "link")).mtimeMs).toBe(7000);
    expect(folder.look(name("link"))?.kind).toBe("link");
    expect(() => folder.enter(name("link"))).toThrow();
    expect(() => folder.open(name("link"))).toThrow("ELOOP");
    expect(() => folder.reopen(name("link"))).toThrow("ELOOP");
    expect(() => folder.enter(name("file"))).toThrow("ENOTDIR");
    folder.make(name("sub"));
    const sub = folder.enter(name("sub"));
    closeSync(sub.reopen(name("again")));
    closeSync(sub.reopen(name("again")));
    expect(existsSync(join(path, "sub/again"))).toBe(true);
    sub.remove(name("again"));
    sub.setOwn(0o750, { seconds: 9, nanoseconds: 0 });
    sub.sync();
    sub.close();
    expect(statSync(join(path, "sub")).mode & 0o777).toBe(0o750);
    expect(statSync(join(path, "sub")).mtimeMs).toBe(9000);
    folder.close();
  } finally {
    rmSync(path, { recursive: true });
  }
});

test("a folder by descriptor stays the same one whatever becomes of its name", () => {
  const path = mkdtempSync(join(tmpdir(), "fv-folder-"));
  try {
    mkdirSync(join(path, "a"));
    mkdirSync(join(path, "elsewhere"));
    const top = DescriptorFolder.open(name(path));
    const folder = top.enter(name("a"));
    top.rename(name("a"), name("moved"));
    symlinkSync("elsewhere", join(path, "a"));
    closeSync(folder.create(name("file"), 0o600));
    expect(existsSync(join(path, "moved/file"))).toBe(true);
    expect(existsSync(join(path, "elsewhere/file"))).toBe(false);
    writeFileSync(join(path, "elsewhere/x"), "x");
    folder.close();
    top.close();
  } finally {
    rmSync(path, { recursive: true });
  }
});
