import { mkdir, rm, symlink } from "node:fs/promises";
import { compileBinary } from "./binary.ts";

/** Builds `dist/fly-vault` and one symlink for every other role. */
const roles = ["fly-vault-admin", "init", "vault-proxy", "fly-local"];
const outfile = "dist/fly-vault";

await mkdir("dist", { recursive: true });
await compileBinary(outfile);
for (const role of roles) {
  await rm(`dist/${role}`, { force: true });
  await symlink("fly-vault", `dist/${role}`);
}
console.log(`built ${outfile} and ${roles.map((role) => `dist/${role}`).join(", ")}`);
