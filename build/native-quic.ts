import type { BunPlugin } from "bun";
import { platformName } from "../src/roles/client/update/release-sums.ts";

/**
 * The package finds its native half by computed names, which a bundler cannot follow.
 * This replaces that one file by a static require, so that the `.node` file is embedded: this
 * computer's, or the one at a path.
 */
export function nativeQuic(path: string | undefined): BunPlugin {
  return {
    name: "native-quic",
    setup(build) {
      const native =
        path ?? `${nativePackage(platformName(process.platform, process.arch))}/node.napi.node`;
      build.onLoad({ filter: /@matrixai[/\\]quic[/\\]dist[/\\]native[/\\]quiche\.js$/ }, () => ({
        loader: "js",
        contents: `export default require(${JSON.stringify(native)});`,
      }));
    },
  };
}

/** The npm package that has it, by platform as releases name them. */
export function nativePackage(platform: string): string {
  const known: Record<string, string> = {
    "linux-x64": "@matrixai/quic-linux-x64",
    "darwin-x64": "@matrixai/quic-darwin-universal",
    "darwin-arm64": "@matrixai/quic-darwin-universal",
    "windows-x64": "@matrixai/quic-win32-x64",
  };
  const name = known[platform];
  if (name === undefined) throw new Error(`No native QUIC is published for ${platform}`);
  return name;
}
