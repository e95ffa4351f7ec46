import type { BunPlugin } from "bun";

/**
 * The package finds its native half by computed names, which a bundler cannot follow.
 * This replaces that one file by a static require, so that the `.node` file is embedded.
 */
export const nativeQuic: BunPlugin = {
  name: "native-quic",
  setup(build) {
    const native = nativePackage(process.platform, process.arch);
    build.onLoad({ filter: /@matrixai[/\\]quic[/\\]dist[/\\]native[/\\]quiche\.js$/ }, () => ({
      loader: "js",
      contents: `export default require("${native}/node.napi.node");`,
    }));
  },
};

function nativePackage(platform: string, arch: string): string {
  const known: Record<string, string> = {
    "linux-x64": "@matrixai/quic-linux-x64",
    "darwin-x64": "@matrixai/quic-darwin-universal",
    "darwin-arm64": "@matrixai/quic-darwin-universal",
    "win32-x64": "@matrixai/quic-win32-x64",
  };
  const name = known[`${platform}-${arch}`];
  if (name === undefined) throw new Error(`No native QUIC is published for ${platform}-${arch}`);
  return name;
}
