import { copyFileSync, mkdirSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";

/** A program of this computer, with the libraries it is linked with, at the same places below `root`. */
export function copyProgram(root: string, program: string, at = program): void {
  for (const library of librariesOf(program)) copyFile(root, library);
  copyFile(root, program, at);
}

/** A file of this computer, whatever links lead to it. */
export function copyFile(root: string, path: string, at = path): void {
  mkdirSync(join(root, dirname(at)), { recursive: true });
  copyFileSync(realpathSync(path), join(root, at));
}

function librariesOf(program: string): string[] {
  const { stdout } = Bun.spawnSync(["ldd", program], { env: { PATH: process.env["PATH"] ?? "" } });
  return [...stdout.toString().matchAll(/(\/\S+) \(0x/g)].map((match) => match[1] ?? "");
}
