import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const inTree = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** The formatter knows its settings only inside the tree. */
const squeezed = (path: string): string => readFileSync(path, "utf8").replaceAll(/[\s;,|"]/g, "");

test("src/fly/api-types.ts is what build/api-description.ts makes of Fly's description", () => {
  const folder = mkdtempSync(join(tmpdir(), "fv-api-"));
  try {
    const made = join(folder, "made.ts");
    const words = [inTree("test/vectors/machines-openapi.json"), made];
    const { exitCode, stderr } = Bun.spawnSync(
      [process.execPath, inTree("build/api-description.ts"), ...words],
      { cwd: inTree(".") },
    );
    expect([stderr.toString(), exitCode]).toEqual(["", 0]);
    expect(squeezed(made)).toBe(squeezed(inTree("src/fly/api-types.ts")));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
