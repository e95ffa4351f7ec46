import { mkdir, rm, symlink } from "node:fs/promises";
import { nativeQuic } from "./native-quic.ts";

/** Builds `dist/fly-vault` and one symlink for every other role. */
const roles = ["fly-vault-admin", "init", "vault-proxy", "fly-local"];
const outfile = "dist/fly-vault";

await mkdir("dist", { recursive: true });
const result = await Bun.build({
  entrypoints: ["src/main.ts"],
  // Without the two autoload switches a compiled binary would run `.env` and the preloads of
  // `bunfig.toml` in whatever folder the user stands in.
  compile: { outfile, autoloadDotenv: false, autoloadBunfig: false },
  target: "bun",
  format: "esm",
  bytecode: true,
  sourcemap: "linked",
  plugins: [nativeQuic],
});
for (const log of result.logs) console.error(log.message);
if (!result.success) process.exit(1);
for (const role of roles) {
  await rm(`dist/${role}`, { force: true });
  await symlink("fly-vault", `dist/${role}`);
}
console.log(`built ${outfile} and ${roles.map((role) => `dist/${role}`).join(", ")}`);
