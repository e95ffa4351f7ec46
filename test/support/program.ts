import { resolve } from "node:path";
import { childEnv } from "../../src/system/child-env.ts";

/** The compiled program, as a user runs it: from another folder, with an environment of its own. */
export const distFolder = resolve(import.meta.dir, "../../dist");

export type ProgramName = "fly-vault" | "fly-vault-admin" | "init" | "vault-proxy" | "fly-local";

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stdin?: Uint8Array | string;
  /** After this the program is killed and the run fails. */
  readonly timeoutMs?: number;
}

export interface RunResult {
  readonly exitCode: number;
  readonly stdout: Uint8Array;
  readonly stderr: string;
  readonly text: string;
}

export function programPath(name: ProgramName): string {
  return `${distFolder}/${name}`;
}

/** Runs one command to its end. */
export async function run(
  name: ProgramName,
  argv: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const child = Bun.spawn([programPath(name), ...argv], {
    cwd: options.cwd ?? "/",
    env: programEnv(options.env),
    stdin:
      typeof options.stdin === "string" ? Buffer.from(options.stdin) : (options.stdin ?? "ignore"),
    stdout: "pipe",
    stderr: "pipe",
    timeout: options.timeoutMs ?? 60_000,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).bytes(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { exitCode, stdout, stderr, text: new TextDecoder().decode(stdout) };
}

/** What a program gets to see: enough to find commands, nothing of the developer's own settings. */
export function programEnv(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  const base = { PATH: process.env["PATH"], LANG: "C.UTF-8", TERM: "xterm-256color" };
  // A background link would outlive the test; those that are about one say so.
  return childEnv({ ...base, FLY_VAULT_NO_LINK: "1" }, extra);
}
