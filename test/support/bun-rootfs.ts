import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeBusyboxRootfs } from "./busybox-rootfs.ts";
import { copyProgram } from "./program-rootfs.ts";

/** Busybox, Bun with what it needs to run, and one program for it: `/bin/probe WORD…`. */
export function makeBunRootfs(root: string, program: string): void {
  makeBusyboxRootfs(root, { init: "none" });
  copyProgram(root, process.execPath, "/bin/probe-bun");
  writeFileSync(join(root, "probe.js"), program);
  const script = '#!/bin/sh\nexec /bin/probe-bun /probe.js "$@"\n';
  writeFileSync(join(root, "bin/probe"), script, { mode: 0o755 });
}

/** One program with all it imports, as text. */
export async function bundle(entrypoint: string): Promise<string> {
  const { outputs } = await Bun.build({ entrypoints: [entrypoint], target: "bun" });
  const [output] = outputs;
  if (output === undefined) throw new Error(`Nothing came of ${entrypoint}`);
  return output.text();
}
