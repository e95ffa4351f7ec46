import { rm } from "node:fs/promises";
import { resolve } from "node:path";
import type { BunPlugin } from "bun";
import packageJson from "../package.json" with { type: "json" };
import { nativeQuic } from "./native-quic.ts";
import { noFailpoints } from "./no-failpoints.ts";

const root = resolve(import.meta.dir, "..");

export interface BinaryOptions {
  readonly version?: string;
  /** Lines of public keys that `self-update` checks releases with. */
  readonly releaseKeys?: string;
  /** Absent: this computer's own. */
  readonly target?: BinaryTarget;
}

/** Another system: Bun's executable for it, which ours is made of, and the QUIC library's. */
export interface BinaryTarget {
  readonly platform: "linux" | "darwin" | "windows";
  readonly arch: "x64" | "arm64";
  readonly bunExecutable: string;
  readonly quicNative: string;
}

/**
 * Compiles the one executable, as it is released. Gives the files of npm packages that are in it.
 * Rejects with what the compiler says.
 */
export async function compileBinary(
  outfile: string,
  options: BinaryOptions = {},
): Promise<readonly string[]> {
  const { version = packageJson.version, releaseKeys = "", target } = options;
  const result = await Bun.build({
    entrypoints: [`${root}/src/main.ts`],
    // Without the two autoload switches a compiled binary would run `.env` and the preloads of
    // `bunfig.toml` in whatever folder the user stands in.
    compile: {
      outfile,
      autoloadDotenv: false,
      autoloadBunfig: false,
      // Until `src/main.ts` says otherwise: of `exec`'s 22 ms of CPU two were compilation that came too late.
      jitPolicy: 100,
      ...crossed(target),
    },
    target: "bun",
    format: "esm",
    bytecode: true,
    // What a role or a command loads later is a file of its own: the others do not read it. Measured with
    // --version: 21 ms in one piece, 14 in several. Minifying gained nothing.
    splitting: true,
    sourcemap: "linked",
    // ssh2 does without them, and looks for them in vain.
    external: ["cpu-features", "./crypto/build/Release/sshcrypto.node"],
    // Else the folder of the build is in the executable, and another folder makes another one.
    define: { __dirname: '"/"', __filename: '"/module.js"' },
    plugins: [
      nativeQuic(target?.quicNative),
      noFailpoints,
      ofVersion(version),
      withReleaseKeys(releaseKeys),
    ],
    metafile: true,
    throw: false,
  });
  if (!result.success) throw new Error(result.logs.map((log) => log.message).join("\n"));
  // They are in the executable already.
  const maps = result.outputs.filter(({ kind }) => kind === "sourcemap");
  await Promise.all(maps.map(({ path }) => rm(path, { force: true })));
  const inputs = Object.values(result.metafile?.outputs ?? {}).flatMap((output) =>
    Object.keys(output.inputs),
  );
  return [...new Set(inputs.filter((path) => path.includes("node_modules/")))].toSorted();
}

function crossed(target: BinaryTarget | undefined): Partial<Bun.CompileBuildOptions> {
  if (target === undefined) return {};
  return {
    target: `bun-${target.platform}-${target.arch}`,
    executablePath: target.bunExecutable,
  };
}

/** The program takes its version from package.json. */
function ofVersion(version: string): BunPlugin {
  return {
    name: "version",
    setup(build) {
      build.onLoad({ filter: /\/package\.json$/ }, ({ path }) =>
        path === `${root}/package.json`
          ? { loader: "json", contents: JSON.stringify({ ...packageJson, version }) }
          : undefined,
      );
    },
  };
}

function withReleaseKeys(lines: string): BunPlugin {
  return {
    name: "release-keys",
    setup(build) {
      build.onLoad({ filter: /[/\\]client[/\\]update[/\\]release-key\.ts$/ }, () => ({
        loader: "ts",
        contents: `export const builtInReleaseKeys: string = ${JSON.stringify(lines)};`,
      }));
    },
  };
}
