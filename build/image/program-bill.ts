import { resolve } from "node:path";
import { nativeQuic } from "../native-quic.ts";
import { packagesOf, readPackageLock } from "../release/package-lock.ts";
import { quicCrates } from "../release/quic-crates.ts";
import { makeSbom, type SpdxDocument } from "../release/sbom.ts";
import type { Origin } from "./built-image.ts";

const root = resolve(import.meta.dir, "../..");

/** What dist/fly-vault is made of, as its release says it. */
export async function programBill(origin: Origin): Promise<SpdxDocument> {
  return makeSbom({
    version: origin.version,
    platform: "linux-x64",
    revision: origin.revision,
    epochSeconds: Math.floor(origin.createdMs / 1000),
    binarySha256: await sha256(`${root}/dist/fly-vault`),
    packages: packagesOf([...(await bundledFiles()), bunFile], await readPackageLock()),
    crates: await quicCrates(),
    nativePackage: "@matrixai/quic-linux-x64",
  });
}

/** No file of it is bundled: it is what the bundle is put into. */
const bunFile = "node_modules/bun/package.json";

/** Files of npm packages that the bundler takes. */
async function bundledFiles(): Promise<string[]> {
  const { metafile } = await Bun.build({
    entrypoints: [`${root}/src/main.ts`],
    target: "bun",
    external: ["cpu-features", "./crypto/build/Release/sshcrypto.node"],
    plugins: [nativeQuic(undefined)],
    metafile: true,
  });
  return Object.keys(metafile?.inputs ?? {}).filter((path) => path.includes("node_modules/"));
}

async function sha256(path: string): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  for await (const chunk of Bun.file(path).stream()) hash.update(chunk);
  return hash.digest("hex");
}
