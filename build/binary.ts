import { fileURLToPath } from "node:url";
import { nativeQuic } from "./native-quic.ts";
import { noFailpoints } from "./no-failpoints.ts";

/** Compiles the one executable, as it is released. */
export async function compileBinary(outfile: string): Promise<Bun.BuildOutput> {
  return Bun.build({
    entrypoints: [fileURLToPath(new URL("../src/main.ts", import.meta.url))],
    // Without the two autoload switches a compiled binary would run `.env` and the preloads of
    // `bunfig.toml` in whatever folder the user stands in.
    compile: { outfile, autoloadDotenv: false, autoloadBunfig: false },
    target: "bun",
    format: "esm",
    bytecode: true,
    sourcemap: "linked",
    plugins: [nativeQuic, noFailpoints],
  });
}
