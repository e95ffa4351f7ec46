import { expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { folderNames, listFolder } from "../../src/system/folder-listing.ts";

function withFolder(names: readonly string[], body: (fd: number, folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "fv-listing-"));
  for (const name of names) writeFileSync(join(folder, name), "");
  const fd = openSync(folder, "r");
  try {
    body(fd, folder);
  } finally {
    closeSync(fd);
    rmSync(folder, { recursive: true });
  }
}

const many = Array.from({ length: 5000 }, (_, index) => `a-name-that-is-rather-long-${index}`);

test("all names are listed, or as many as are wanted", () => {
  withFolder(["b", "...", ".a", ...many], (fd) => {
    const names = listFolder(fd, 10_000).map(String);
    expect(names.toSorted()).toEqual(["b", "...", ".a", ...many].toSorted());
  });
  withFolder(many, (fd) => {
    expect(listFolder(fd, 100).length).toBe(100);
  });
});

test("names are read as they are asked for: what is gone meanwhile does not come any more", () => {
  withFolder(many, (fd, folder) => {
    const names = folderNames(fd);
    names.next();
    for (const name of many) rmSync(join(folder, name));
    expect([...names].length).toBeLessThan(4000);
  });
});
