import { peakResidentMb } from "./process-figures.ts";

/** Runs a command to its end, and gives the milliseconds from spawn to exit. One that fails ends the benchmark. */
export async function commandMs(
  argv: readonly string[],
  env: Record<string, string>,
  stdin: "ignore" | Bun.BunFile = "ignore",
): Promise<number> {
  const startMs = performance.now();
  const child = Bun.spawn([...argv], { env, stdin, stdout: "ignore", stderr: "pipe" });
  const [code, complaint] = await Promise.all([child.exited, child.stderr.text()]);
  const ms = performance.now() - startMs;
  if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code}: ${complaint}`);
  return ms;
}

/**
 * The most memory that a command has had after so long; then it is ended. What `wait4` says of one that
 * has ended would not do: it counts what this process had when it started that one.
 */
export async function commandPeakMb(
  argv: readonly string[],
  env: Record<string, string>,
  afterMs: number,
): Promise<number> {
  const child = Bun.spawn([...argv], { env, stdio: ["ignore", "ignore", "ignore"] });
  await Bun.sleep(afterMs);
  if (child.exitCode !== null) throw new Error(`${argv.join(" ")} ended early`);
  const mb = peakResidentMb(child.pid);
  child.kill();
  await child.exited;
  return mb;
}
