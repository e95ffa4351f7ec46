import { childEnv } from "../../src/system/child-env.ts";

/** Runs a script of this folder to its end, and gives what it printed. Fails unless it exits with 0. */
export async function runChild(script: string, ...args: readonly string[]): Promise<string> {
  const path = new URL(script, import.meta.url).pathname;
  const child = Bun.spawn([process.execPath, path, ...args], {
    env: childEnv(process.env),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`${script} ended with ${code}: ${err}`);
  return out.trim();
}
