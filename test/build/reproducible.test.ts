import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readPackageLock } from "../../build/release/package-lock.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

test("the same sources in two folders make the same executable", async () => {
  const base = await mkdtemp(join(tmpdir(), "fv-reproducible-"));
  try {
    const digests: string[] = [];
    for (const folder of [join(base, "one"), join(base, "two/of another depth")]) {
      await copySources(folder);
      const { exitCode, stderr } = Bun.spawnSync([process.execPath, "build/compile.ts"], {
        cwd: folder,
        env: { PATH: process.env["PATH"] ?? "" },
      });
      expect(stderr.toString()).toBe("");
      expect(exitCode).toBe(0);
      const bytes = await readFile(join(folder, "dist/fly-vault"));
      expect(bytes.includes(folder)).toBe(false);
      digests.push(new Bun.CryptoHasher("sha256").update(bytes).digest("hex"));
      await rm(folder, { recursive: true });
    }
    expect(digests[0]).toBe(digests[1] ?? "");
  } finally {
    await rm(base, { recursive: true, force: true });
  }
}, 120_000);

/** Copies, not links: behind those the compiler would find the one folder again. */
async function copySources(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const packages = [...(await readPackageLock()).keys()].filter(
    // The tools are large, and nothing of them is compiled in.
    (place) => !/@oven|typescript|oxlint|knip|\/bun$/.test(place) && existsSync(join(root, place)),
  );
  const names = ["src", "build", "package.json", "tsconfig.json", ...packages];
  const { exitCode } = Bun.spawnSync(["cp", "-a", "--parents", ...names, folder], { cwd: root });
  expect(exitCode).toBe(0);
}
