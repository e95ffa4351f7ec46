import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { formatSize } from "../src/cli/size.ts";
import { localBase } from "./image/base-image.ts";
import { withFiles } from "./image/buildah.ts";
import { buildImage, exportImage, type Origin, type Target } from "./image/built-image.ts";
import { imageBill } from "./image/image-bill.ts";
import { type DebianPackage, installedPackages } from "./image/dpkg-status.ts";
import { originHere } from "./image/origin.ts";
import { programBill } from "./image/program-bill.ts";

/**
 * Builds both images of the Containerfile and writes each to dist/image, as an OCI archive with its SBOM.
 * BASE is the image they are built upon; without it one is made of Debian's packages. SOURCE is the
 * address of the sources, for the label.
 */
const folder = resolve(import.meta.dir, "../dist/image");
const base = process.env["BASE"] || (await localBase());
const origin = originHere(process.env["SOURCE"] ?? "");

await mkdir(folder, { recursive: true });
console.log(`base       ${base}`);
console.log(`revision   ${origin.revision}`);
for (const target of ["init", "proxy"] as const) await makeImage(target, origin);

async function makeImage(target: Target, of: Origin): Promise<void> {
  const image = await buildImage(target, base, of);
  const archive = join(folder, `${target}.tar`);
  const digest = await exportImage(image, archive);
  const before = new Set((await packagesOf(base)).map(({ name }) => name));
  const debian = await packagesOf(image);
  const name = `fly-vault-${target}`;
  const document = imageBill({ name, version: of.version, digest, debian }, await programBill(of));
  await Bun.write(join(folder, `${target}.spdx.json`), `${JSON.stringify(document, null, 2)}\n`);
  console.log(`\n${image}`);
  console.log(`  digest   ${digest}`);
  console.log(`  archive  dist/image/${target}.tar, ${formatSize(Bun.file(archive).size)}`);
  console.log(`  SBOM     dist/image/${target}.spdx.json, ${document.packages.length} packages`);
  console.log(`  program  ${formatSize(Bun.file("dist/fly-vault").size)}`);
  printPackages(debian, before);
}

function printPackages(packages: readonly DebianPackage[], before: ReadonlySet<string>): void {
  const kept = packages.filter(({ name }) => before.has(name));
  console.log(`  base     ${kept.length} packages, ${sizeOf(kept)}`);
  const added = packages.filter(({ name }) => !before.has(name));
  console.log(`  added    ${added.length} packages, ${sizeOf(added)}`);
  for (const one of added) console.log(`           ${one.name} ${one.version}, ${sizeOf([one])}`);
}

function sizeOf(packages: readonly DebianPackage[]): string {
  return formatSize(packages.reduce((sum, { installedKib }) => sum + installedKib * 1024, 0));
}

async function packagesOf(image: string): Promise<DebianPackage[]> {
  return withFiles(image, async (files) =>
    installedPackages(await Bun.file(join(files, "var/lib/dpkg/status")).text()),
  );
}
