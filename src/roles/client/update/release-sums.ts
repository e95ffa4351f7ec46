import { updateLimits } from "./update-limits.ts";

/** One archive of a release: an executable for one system. */
export interface ReleaseArchive {
  readonly name: string;
  /** "linux-x64" and the like. */
  readonly platform: string;
  readonly sha256: string;
}

export interface ReleaseSums {
  /** All archives bear it in their names, so that the signature covers it. */
  readonly version: string;
  readonly archives: readonly ReleaseArchive[];
}

/** SHA256SUMS of a release, as sha256sum writes it; undefined for anything else. */
export function parseReleaseSums(text: string): ReleaseSums | undefined {
  const lines = text.split("\n").filter((line) => line !== "");
  if (lines.length > updateLimits.sumsLinesMax) return undefined;
  const archives: ReleaseArchive[] = [];
  const versions = new Set<string>();
  for (const line of lines) {
    const [, sha256, name = ""] = /^([0-9a-f]{64}) {2}([\w.+-]{1,128})$/.exec(line) ?? [];
    if (sha256 === undefined) return undefined;
    const [, version, platform] = archiveName.exec(name) ?? [];
    if (version === undefined || platform === undefined) continue;
    versions.add(version);
    archives.push({ name, platform, sha256 });
  }
  const [version] = versions;
  const isOne = new Set(archives.map(({ platform }) => platform)).size === archives.length;
  return version !== undefined && versions.size === 1 && isOne ? { version, archives } : undefined;
}

/** As releases name it: "linux-x64", "darwin-arm64", "windows-x64". */
export function platformName(platform: string, arch: string): string {
  return `${platform === "win32" ? "windows" : platform}-${arch}`;
}

export function isVersion(text: string): boolean {
  return new RegExp(`^${versionPattern}$`).test(text);
}

const versionPattern = String.raw`\d{1,6}\.\d{1,6}\.\d{1,6}(?:-[0-9a-z.]{1,32})?`;
const archiveName = new RegExp(
  String.raw`^fly-vault-(${versionPattern})-((?:linux|darwin|windows)-(?:x64|arm64))\.tar\.gz$`,
);
