import { join } from "node:path";
import { platformName } from "../../src/roles/client/update/release-sums.ts";
import type { BinaryTarget } from "../binary.ts";
import { nativePackage } from "../native-quic.ts";
import { fetchPackage } from "./npm-package.ts";
import type { LockedPackage, PackageLock } from "./package-lock.ts";

export interface Platform {
  /** As archives name it. */
  readonly name: string;
  readonly system: BinaryTarget["platform"];
  readonly arch: BinaryTarget["arch"];
  /** Bun's package of its executable for that system. */
  readonly bunPackage: string;
}

/** All that people may ask for; what cannot be built says why. */
export const platforms: readonly Platform[] = [
  { name: "linux-x64", system: "linux", arch: "x64", bunPackage: "@oven/bun-linux-x64" },
  { name: "linux-arm64", system: "linux", arch: "arm64", bunPackage: "@oven/bun-linux-aarch64" },
  { name: "darwin-arm64", system: "darwin", arch: "arm64", bunPackage: "@oven/bun-darwin-aarch64" },
  { name: "darwin-x64", system: "darwin", arch: "x64", bunPackage: "@oven/bun-darwin-x64" },
  { name: "windows-x64", system: "windows", arch: "x64", bunPackage: "@oven/bun-windows-x64" },
];

/** What an executable for the platform is made of, beside our own code. */
export interface Parts {
  readonly bun: LockedPackage;
  readonly quic: LockedPackage;
}

export type FoundParts = Parts | { readonly missing: string };

/** Whether package-lock.json has what the platform needs: only that can be verified. */
export function partsOf(platform: Platform, lock: PackageLock): FoundParts {
  const native = nativeOf(platform.name);
  if (native === undefined)
    return { missing: "the QUIC library (@matrixai/quic) has no native package for it" };
  const quic = lock.get(`node_modules/${native}`);
  const bun = lock.get(`node_modules/${platform.bunPackage}`);
  const missing = [
    ...(quic === undefined ? [native] : []),
    ...(bun === undefined ? [platform.bunPackage] : []),
  ];
  if (quic === undefined || bun === undefined)
    return {
      missing: `package-lock.json has no ${missing.join(" and no ")}: npm had none of this version when it was written`,
    };
  return { bun, quic };
}

/** What the compiler needs; undefined on the platform that this is. */
export async function targetOf(
  platform: Platform,
  { bun, quic }: Parts,
): Promise<BinaryTarget | undefined> {
  if (platform.name === platformName(process.platform, process.arch)) return undefined;
  const [bunFolder, quicFolder] = await Promise.all([fetchPackage(bun), fetchPackage(quic)]);
  return {
    platform: platform.system,
    arch: platform.arch,
    bunExecutable: join(bunFolder, platform.system === "windows" ? "bin/bun.exe" : "bin/bun"),
    quicNative: join(quicFolder, "node.napi.node"),
  };
}

function nativeOf(platform: string): string | undefined {
  try {
    return nativePackage(platform);
  } catch {
    return undefined;
  }
}
