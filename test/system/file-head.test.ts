import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readFileHead } from "../../src/system/file-head.ts";

test("a file is read whole, a longer or bottomless one just beyond the limit", () => {
  const folder = mkdtempSync(join(tmpdir(), "fvh-"));
  try {
    const path = join(folder, "file");
    writeFileSync(path, "abc");
    expect(new TextDecoder().decode(readFileHead(path, 3))).toBe("abc");
    expect(new TextDecoder().decode(readFileHead(path, 1))).toBe("ab");
    expect(readFileHead("/dev/null", 3).length).toBe(0);
    expect(readFileHead("/dev/zero", 3).length).toBe(4);
    expect(() => readFileHead(folder, 3)).toThrow("EISDIR");
    expect(() => readFileHead(join(folder, "none"), 3)).toThrow("ENOENT");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
