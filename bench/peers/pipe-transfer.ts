import { closeSync } from "node:fs";
import { openPipe } from "../../src/system/process-pipe.ts";

export type Direction = "up" | "down" | "both";

/** What runs at the far end, with a shell or without one. */
export function pipeCommand(direction: Direction, bytes: number): string {
  if (direction === "up") return "cat >/dev/null";
  return direction === "down" ? `head -c ${bytes} /dev/zero` : "cat";
}

/**
 * Moves bytes through a command, fed and drained by programs of their own, so that nothing here slows it
 * down. Gives megabytes (10^6) a second, each way.
 */
export async function pipeRate(
  argv: readonly string[],
  env: Record<string, string>,
  { direction, bytes }: { readonly direction: Direction; readonly bytes: number },
): Promise<number> {
  const [near, far] = [openPipe(), openPipe()];
  const stdio = { env, stderr: "inherit" } as const;
  const feed = direction === "down" ? "0" : String(bytes);
  const startMs = performance.now();
  const source = Bun.spawn(["head", "-c", feed, "/dev/zero"], { ...stdio, stdout: near.writeFd });
  const child = Bun.spawn([...argv], { ...stdio, stdin: near.readFd, stdout: far.writeFd });
  const sink = Bun.spawn(["wc", "-c"], { ...stdio, stdin: far.readFd, stdout: "pipe" });
  for (const fd of [near.readFd, near.writeFd, far.readFd, far.writeFd]) closeSync(fd);
  const [count, code] = await Promise.all([sink.stdout.text(), child.exited, source.exited]);
  if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code}`);
  const expected = direction === "up" ? 0 : bytes;
  if (Number(count) !== expected) throw new Error(`${count.trim()} bytes came, not ${expected}`);
  return bytes / 1e3 / (performance.now() - startMs);
}
