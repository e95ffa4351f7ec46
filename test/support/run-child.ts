import { childEnv } from "../../src/system/child-env.ts";

/** Runs a script to its end, and gives what it printed. Fails unless it exits with 0. */
export async function runChild(path: string, ...args: readonly string[]): Promise<string> {
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
  if (code !== 0) throw new Error(`${path} ended with ${code}: ${err}`);
  return out.trim();
}
