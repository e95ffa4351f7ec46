import { relative, resolve } from "node:path";
import { nativeQuic } from "../native-quic.ts";

/** A package of npm as package-lock.json has it. */
export interface NpmPackage {
  readonly name: string;
  readonly version: string;
  readonly license: string | undefined;
  /** Of its archive, in hexadecimal. */
  readonly sha512: string | undefined;
}

export interface PackageLock {
  readonly packages: Readonly<Record<string, LockEntry>>;
}

interface LockEntry {
  readonly version?: string;
  readonly license?: string;
  readonly integrity?: string;
}

/** Those of the lock file that lie in one of these folders, and Bun, which is the executable's runtime. */
export function packagesIn(folders: ReadonlySet<string>, lock: PackageLock): NpmPackage[] {
  return [...folders, "node_modules/bun"].toSorted().map((folder) => {
    const entry = lock.packages[folder];
    if (entry?.version === undefined) throw new Error(`package-lock.json has no ${folder}`);
    return {
      name: packageName(folder),
      version: entry.version,
      license: entry.license,
      sha512: sha512Of(entry.integrity),
    };
  });
}

/** Folders of the packages that files of the executable come from, as the bundler tells them: "node_modules/jose". */
export async function bundledFolders(): Promise<Set<string>> {
  const root = resolve(import.meta.dir, "../..");
  const { metafile } = await Bun.build({
    entrypoints: [`${root}/src/main.ts`],
    target: "bun",
    external: ["cpu-features", "./crypto/build/Release/sshcrypto.node"],
    plugins: [nativeQuic(undefined)],
    metafile: true,
  });
  const paths = Object.keys(metafile?.inputs ?? {}).map((path) => relative(root, resolve(path)));
  // The last one: a package may lie in the folder of another.
  const folders = paths.map((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]);
  return new Set(folders.filter((folder) => folder !== undefined));
}

function packageName(folder: string): string {
  return folder.slice(folder.lastIndexOf("node_modules/") + "node_modules/".length);
}

function sha512Of(integrity: string | undefined): string | undefined {
  const base64 = /sha512-(\S+)/.exec(integrity ?? "")?.[1];
  return base64 === undefined ? undefined : Buffer.from(base64, "base64").toString("hex");
}
