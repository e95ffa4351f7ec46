import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { manPages } from "../../src/cli/man-page.ts";
import { program as admin } from "../../src/roles/admin/program.ts";
import { program as client } from "../../src/roles/client/program.ts";
import { publishedAt } from "../../src/roles/client/update/release-source.ts";
import { platformName } from "../../src/roles/client/update/release-sums.ts";
import { parseReleaseKeys } from "../../src/roles/client/update/ssh-signature.ts";
import { compileBinary } from "../binary.ts";
import { type ArchiveFile, makeArchive } from "./archive.ts";
import { checkExecutable } from "./executable-check.ts";
import { type Bottle, homebrewFormula } from "./homebrew-formula.ts";
import {
  type LockedPackage,
  packagesOf,
  type PackageLock,
  readPackageLock,
} from "./package-lock.ts";
import { signedFor } from "./mach-o-signing.ts";
import { type Parts, partsOf, type Platform, platforms, targetOf } from "./platforms.ts";
import { makeProvenance } from "./provenance.ts";
import { quicCrates } from "./quic-crates.ts";
import { makeSbom } from "./sbom.ts";
import { publicKeyOf, scriptWithKeys, signFile } from "./signing.ts";

export interface ReleaseWish {
  readonly version: string;
  readonly revision: string;
  /** Of the commit: nothing in the release is younger. */
  readonly epochSeconds: number;
  readonly repository: string;
  readonly builder: string;
  /** A private key for `ssh-keygen -Y sign`; without it nothing is signed. */
  readonly keyFile: string | undefined;
  /** One more public key to be built in: the one that signs from the next release on. */
  readonly nextKey?: string | undefined;
  /** Absent: all. */
  readonly platforms?: readonly Platform[];
  /** Made anew. */
  readonly folder: string;
  readonly say: (line: string) => void;
}

interface Built extends Bottle {
  readonly binarySha256: string;
  readonly packages: readonly LockedPackage[];
}

/** Makes all files of a release, for every platform that has its parts. */
export async function makeRelease(wish: ReleaseWish): Promise<void> {
  const { version, folder, keyFile, nextKey = "", say } = wish;
  const part = `${folder}.part`;
  await rm(part, { recursive: true, force: true });
  await mkdir(part, { recursive: true });
  const key = keyFile === undefined ? undefined : await publicKeyOf(keyFile);
  const releaseKeys = key === undefined ? "" : `${key}\n${nextKey}`.trim();
  if (parseReleaseKeys(releaseKeys) === undefined) throw new Error(`No public key: ${nextKey}`);
  const lock = await readPackageLock();
  const built: Built[] = [];
  for (const platform of wish.platforms ?? platforms) {
    const parts = partsOf(platform, lock);
    if ("missing" in parts) say(`${platform.name.padEnd(14)}not built: ${parts.missing}`);
    else built.push(await buildFor(platform, { parts, lock, releaseKeys, part }, wish));
  }
  await writeFile(
    join(part, "install.sh"),
    await scriptWithKeys(join(import.meta.dir, "install.sh"), releaseKeys),
    { mode: 0o755 },
  );
  const formula = homebrewFormula(version, publishedAt, built);
  if (formula !== undefined) await writeFile(join(part, "fly-vault.rb"), formula);
  await writeJson(join(part, `fly-vault-${version}.intoto.json`), provenanceOf(built, wish));
  await writeSums(part);
  if (keyFile !== undefined) await signFile(keyFile, join(part, "SHA256SUMS"));
  await rm(folder, { recursive: true, force: true });
  await rename(part, folder);
  say(
    key === undefined
      ? "not signed: FLY_VAULT_RELEASE_KEY_FILE names no key; self-update takes signed releases alone"
      : `signed by ${key}`,
  );
  if (built.some(({ platform }) => platform !== platformName(process.platform, process.arch)))
    say("what is for other systems was looked at, and never run (docs/release.md)");
}

async function buildFor(
  platform: Platform,
  given: {
    readonly parts: Parts;
    readonly lock: PackageLock;
    readonly releaseKeys: string;
    readonly part: string;
  },
  { version, revision, epochSeconds, say }: ReleaseWish,
): Promise<Built> {
  const { parts, lock, releaseKeys, part } = given;
  const target = await targetOf(platform, parts);
  // The name is in the executable: it must not depend on where this is made.
  const executable = platform.system === "windows" ? "fly-vault.exe" : "fly-vault";
  const outfile = join(part, executable);
  const files = await compileBinary(outfile, {
    version,
    releaseKeys,
    ...(target === undefined ? {} : { target }),
  });
  const bytes = signedFor(platform, await readFile(outfile));
  const native = target?.quicNative ?? `node_modules/${parts.quic.name}/node.napi.node`;
  checkExecutable(bytes, platform, await readFile(resolve(root, native)));
  if (target === undefined) mustSay(outfile, version);
  await rm(outfile);
  const binarySha256 = sha256(bytes);
  const own = files.filter((path) => !path.endsWith(".node"));
  const packages = [...packagesOf(own, lock), parts.quic, parts.bun];
  const stem = `fly-vault-${version}-${platform.name}`;
  const archive = `${stem}.tar.gz`;
  const content = [
    { name: executable, bytes, mode: 0o755 as const },
    ...(await otherFiles(version)),
  ];
  const packed = await makeArchive(stem, content, epochSeconds);
  await writeFile(join(part, archive), packed);
  const bill = { version, platform: platform.name, revision, epochSeconds, binarySha256, packages };
  const sbom = makeSbom({ ...bill, crates: await quicCrates(), nativePackage: parts.quic.name });
  await writeJson(join(part, `${stem}.spdx.json`), sbom);
  say(
    `${platform.name.padEnd(14)}${archive}  ${packed.length} bytes  sha256 of ${executable} ${binarySha256}`,
  );
  return { platform: platform.name, archive, sha256: sha256(packed), binarySha256, packages };
}

/** The one that this computer can run. */
function mustSay(path: string, version: string): void {
  const { stdout } = Bun.spawnSync([path, "--version"], { env: {} });
  if (stdout.toString() !== `fly-vault ${version}\n`)
    throw new Error(`${path} --version said "${stdout.toString()}"`);
}

async function otherFiles(version: string): Promise<ArchiveFile[]> {
  const pages = [...manPages(client, version), ...manPages(admin, version)];
  return [
    { name: "LICENSE", bytes: await readFile(join(root, "LICENSE")) },
    ...pages.map(({ file, text }) => ({
      name: `man/man${file.at(-1)}/${file}`,
      bytes: Buffer.from(text),
    })),
  ];
}

function provenanceOf(built: readonly Built[], wish: ReleaseWish): object {
  const subjects = built.flatMap(({ platform, archive, sha256: digest, binarySha256 }) => [
    { name: archive, sha256: digest },
    { name: `fly-vault-${wish.version}-${platform}/fly-vault`, sha256: binarySha256 },
  ]);
  const packages = new Map(built.flatMap((each) => each.packages.map((used) => [used.name, used])));
  const origin = { ...wish, bunVersion: `${Bun.version}+${Bun.revision}` };
  return makeProvenance(origin, subjects, [...packages.values()]);
}

async function writeSums(folder: string): Promise<void> {
  const names = [...new Bun.Glob("*").scanSync({ cwd: folder })].toSorted();
  const lines = names.map(
    async (name) => `${sha256(await readFile(join(folder, name)))}  ${name}\n`,
  );
  await writeFile(join(folder, "SHA256SUMS"), (await Promise.all(lines)).join(""));
}

async function writeJson(path: string, value: object): Promise<void> {
  await writeFile(path, `${JSON.stringify(value, undefined, 2)}\n`);
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

const root = resolve(import.meta.dir, "../..");
