import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compileBinary } from "../../build/binary.ts";
import { checkExecutable } from "../../build/release/executable-check.ts";
import { adHocSigned, signedFor } from "../../build/release/mach-o-signing.ts";
import { fetchPackage } from "../../build/release/npm-package.ts";
import { readPackageLock } from "../../build/release/package-lock.ts";
import { platforms } from "../../build/release/platforms.ts";

// Bun for another system is 50 MB from npm: this is part of `make soak`.
const isSoak = process.env["FV_SOAK"] === "1";

/**
 * What `make release` does for other systems, with a stand-in for the native QUIC library: whether there is
 * a real one is npm's affair. The result cannot be run here.
 */
test.if(isSoak).each(platforms.filter(({ system }) => system !== "linux"))(
  "an executable for $name comes out, signed as its system needs it, and twice the same",
  async ({ system, arch, bunPackage }) => {
    const locked = (await readPackageLock()).get(`node_modules/${bunPackage}`);
    if (locked === undefined) throw new Error(`${bunPackage} is not in package-lock.json`);
    const bun = await fetchPackage(locked);
    const folder = await mkdtemp(join(tmpdir(), "fv-cross-"));
    try {
      const native = crypto.getRandomValues(Buffer.alloc(50_000));
      const quicNative = join(folder, "node.napi.node");
      await writeFile(quicNative, native);
      const bunExecutable = join(bun, system === "windows" ? "bin/bun.exe" : "bin/bun");
      const target = { platform: system, arch, bunExecutable, quicNative };
      const name = system === "windows" ? "fly-vault.exe" : "fly-vault";
      const digests: string[] = [];
      for (const place of ["one", "two"]) {
        const outfile = join(folder, place, name);
        await compileBinary(outfile, { target });
        const bytes = signedFor({ system, arch }, await readFile(outfile));
        checkExecutable(bytes, { system, arch }, native);
        // Bun's own signature, and ours in its place: both cover every page.
        if (system === "darwin") checkExecutable(adHocSigned(bytes), { system, arch }, native);
        digests.push(createHash("sha256").update(bytes).digest("hex"));
        expect(await readdir(join(folder, place))).toEqual([name]);
      }
      expect(digests[0]).toBe(digests[1] ?? "");
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
  300_000,
);
