import { resolve } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import type { Origin } from "./built-image.ts";

/** Of the commit that is checked out. */
export function originHere(source: string): Origin {
  const changed = git("status", "--porcelain", "--untracked-files=no") !== "";
  return {
    version: packageJson.version,
    revision: `${git("rev-parse", "HEAD")}${changed ? "-changed" : ""}`,
    source,
    createdMs: Number(git("log", "-1", "--format=%ct")) * 1000,
  };
}

function git(...words: readonly string[]): string {
  const cwd = resolve(import.meta.dir, "../..");
  // Not everybody's checkout belongs to the user who builds: with sudo it is another's.
  const argv = ["git", "-c", `safe.directory=${cwd}`, ...words];
  const result = Bun.spawnSync(argv, { cwd, env: { PATH: process.env["PATH"] } });
  if (!result.success) throw new Error(`${argv.join(" ")}: ${result.stderr.toString()}`);
  return result.stdout.toString().trim();
}
