import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { clampTimes } from "../../../../src/roles/client/build/tar-times.ts";
import { rejection } from "../../../support/rejection.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "fv-times-"));
  await mkdir(join(folder, "root/d"), { recursive: true });
  await writeFile(join(folder, "root/d/old"), "old");
  await utimes(join(folder, "root/d/old"), 1e9, 1e9);
  await writeFile(join(folder, "root/large"), new Uint8Array(1_000_001).fill(3));
  await symlink("d/old", join(folder, "root/link"));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

function tar(argv: readonly string[], stdin?: Uint8Array): Uint8Array {
  return Bun.spawnSync(["tar", ...argv], { stdin: stdin ?? "ignore", env: { TZ: "UTC" } }).stdout;
}

async function clamp(archive: Uint8Array, newestMs: number): Promise<Uint8Array> {
  async function* source() {
    for (let at = 0; at < archive.length; at += 10_007) yield archive.subarray(at, at + 10_007);
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of clampTimes(source(), newestMs)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test("what is younger becomes as old as that; all else stays", async () => {
  const archive = tar(["-C", join(folder, "root"), "--sort=name", "-c", "."]);
  const clamped = await clamp(archive, 1.1e12);
  const lines = new TextDecoder()
    .decode(tar(["tvf", "-"], clamped))
    .trimEnd()
    .split("\n");
  expect(lines).toHaveLength(5);
  expect(lines.filter((line) => line.includes("2004-11-09 11:33"))).toHaveLength(4);
  expect(lines.find((line) => line.endsWith("d/old"))).toContain("2001-09-09 01:46");
  expect(lines.find((line) => line.includes("link -> d/old"))).toBeString();
  expect(tar(["xOf", "-", "./large"], clamped)).toEqual(tar(["xOf", "-", "./large"], archive));
});

test("an archive that breaks off is an error, not a short one", async () => {
  const archive = tar(["-C", join(folder, "root"), "-c", "."]);
  await rejection(clamp(archive.subarray(0, 500_000), 0));
});
