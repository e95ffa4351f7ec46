import { rm } from "node:fs/promises";
import { resolve } from "node:path";
import type { BunPlugin } from "bun";
import packageJson from "../package.json" with { type: "json" };
import { nativeQuic } from "./native-quic.ts";
import { noFailpoints } from "./no-failpoints.ts";

const root = resolve(import.meta.dir, "..");

/** Compiles the one executable, as it is released. Rejects with what the compiler says. */
export async function compileBinary(
  outfile: string,
  version: string = packageJson.version,
): Promise<void> {
  const result = await Bun.build({
    entrypoints: [`${root}/src/main.ts`],
    // Without the two autoload switches a compiled binary would run `.env` and the preloads of
    // `bunfig.toml` in whatever folder the user stands in.
    compile: { outfile, autoloadDotenv: false, autoloadBunfig: false },
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
    plugins: [nativeQuic, noFailpoints, ofVersion(version)],
    throw: false,
  });
  if (!result.success) throw new Error(result.logs.map((log) => log.message).join("\n"));
  // They are in the executable already.
  const maps = result.outputs.filter(({ kind }) => kind === "sourcemap");
  await Promise.all(maps.map(({ path }) => rm(path, { force: true })));
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
