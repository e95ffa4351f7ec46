import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { LockedPackage } from "./package-lock.ts";

const cache = join(resolve(import.meta.dir, "../.."), ".cache/release");

/**
 * The folder of an npm package that npm would not install here, because it is for another system. Its bytes
 * are those that package-lock.json demands. Rejects where npm does not have it, or has another one.
 */
export async function fetchPackage(locked: LockedPackage): Promise<string> {
  const stem = `${locked.name.replace(/^@/, "").replace("/", "-")}-${locked.version}`;
  const tarball = join(cache, `${stem}.tgz`);
  await mkdir(cache, { recursive: true });
  if (!(await Bun.file(tarball).exists())) {
    const spec = `${locked.name}@${locked.version}`;
    await run(["npm", "pack", spec, "--silent", "--pack-destination", cache]);
  }
  const integrity = `sha512-${createHash("sha512")
    .update(await readFile(tarball))
    .digest("base64")}`;
  if (integrity !== locked.integrity) {
    await rm(tarball);
    throw new Error(`${stem} from npm is ${integrity}, not ${locked.integrity}`);
  }
  // Anew each time: what lies unpacked has no checksum.
  const unpacked = join(cache, stem);
  await rm(unpacked, { recursive: true, force: true });
  await mkdir(`${unpacked}.part`, { recursive: true });
  await run(["tar", "-xzf", tarball, "-C", `${unpacked}.part`, "--strip-components=1"]);
  await rename(`${unpacked}.part`, unpacked);
  return unpacked;
}

async function run(argv: readonly string[]): Promise<void> {
  const child = Bun.spawn([...argv], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const said = await new Response(child.stderr).text();
  if ((await child.exited) !== 0)
    throw new Error(`${argv.slice(0, 3).join(" ")}: ${said.trim().split("\n")[0] ?? ""}`);
}
