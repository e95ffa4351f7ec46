import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { childEnv } from "../../src/system/child-env.ts";

/**
 * Network, mounts and processes of their own, and a folder for temporary files. Whatever is started in
 * there ends with it, also when it is killed: no process, port, mount or namespace is left.
 */
export function isInSandbox(): boolean {
  return process.env[mark] === "1";
}

/** Runs this very program again inside, to its end, and gives its exit code. */
export async function runInSandbox(): Promise<number> {
  if (process.getuid?.() !== 0) return runAsRoot();
  const folder = mkdtempSync(join(tmpdir(), "fv-bench-"));
  const child = Bun.spawn([...unshare, process.execPath, ...process.argv.slice(1)], {
    env: childEnv(settings(), variables(folder)),
    stdio: ["ignore", "inherit", "inherit"],
  });
  const stop = (): void => child.kill("SIGKILL");
  process.on("SIGINT", stop).on("SIGTERM", stop).on("SIGHUP", stop);
  const code = await child.exited;
  rmSync(folder, { recursive: true, force: true });
  return code;
}

/** First thing inside: addresses on loopback are there. */
export function prepareSandbox(): void {
  system("ip", "link", "set", "lo", "up");
}

/** A short command that has to work. */
export function system(...command: readonly string[]): string {
  const done = Bun.spawnSync([...command], { env: childEnv({ PATH: searchPath() }) });
  if (!done.success) throw new Error(`${command.join(" ")}: ${done.stderr.toString()}`);
  return done.stdout.toString();
}

/** Where a peer's program is, or null: Debian keeps some of them from the search path of users. */
export function findProgram(name: string): string | null {
  return Bun.which(name, { PATH: searchPath() });
}

const mark = "FV_BENCH_SANDBOX";
/** catatonit reaps what was left by its parent, so that nobody waits for a dead process. */
const unshare = [
  "unshare",
  "--net",
  "--mount",
  "--pid",
  "--fork",
  "--kill-child=SIGKILL",
  "--mount-proc",
  "catatonit",
  "--",
] as const;

/** Ctrl-C goes to both of us, and the one below tidies up. */
async function runAsRoot(): Promise<number> {
  process.on("SIGINT", () => undefined);
  const child = Bun.spawn(["sudo", "--preserve-env", process.execPath, ...process.argv.slice(1)], {
    env: childEnv(settings()),
    stdio: ["inherit", "inherit", "inherit"],
  });
  return child.exited;
}

function settings(): Readonly<Record<string, string | undefined>> {
  const { ROUNDS, PART } = process.env;
  return { PATH: searchPath(), ROUNDS, PART };
}

function variables(folder: string): Readonly<Record<string, string>> {
  return { [mark]: "1", TMPDIR: folder, LANG: "C.UTF-8" };
}

function searchPath(): string {
  return `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
}
