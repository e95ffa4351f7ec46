import { join } from "node:path";
import type { LocalFly } from "../../test/support/local-fly.ts";
import { programEnv, programPath, run, type RunResult } from "../../test/support/program.ts";

/** What a laptop has: a home folder, and the client. */
export class Laptop {
  readonly home: string;

  constructor(fly: LocalFly) {
    this.home = fly.folder;
  }

  /** Commands share a background link here, as they do for people. */
  get env(): Record<string, string> {
    return {
      HOME: this.home,
      XDG_CONFIG_HOME: join(this.home, "config"),
      XDG_STATE_HOME: join(this.home, "state"),
      XDG_CACHE_HOME: join(this.home, "cache"),
      XDG_RUNTIME_DIR: join(this.home, "run"),
      FLY_VAULT_NO_LINK: "",
    };
  }

  /** Runs `fly-vault …` to its end. Rejects unless it ends with 0. */
  async vault(argv: readonly string[], stdin?: Uint8Array | string): Promise<RunResult> {
    const result = await run("fly-vault", argv, {
      env: this.env,
      timeoutMs: 110_000,
      ...(stdin === undefined ? {} : { stdin }),
    });
    return must(result);
  }

  /** Another program that is to find the client, such as ssh. */
  async other(argv: readonly string[]): Promise<string> {
    const child = Bun.spawn([...argv], {
      cwd: "/",
      env: programEnv(this.env),
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: 60_000,
    });
    const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    if ((await child.exited) !== 0) throw new Error(`${argv[0]} failed: ${err}${out}`);
    return out.trim();
  }

  /** Types into a console under a pseudo-terminal; resolves with what was on the screen. */
  async console(argv: readonly string[], lines: readonly string[]): Promise<Screen> {
    let text = "";
    const child = Bun.spawn([programPath("fly-vault"), ...argv], {
      cwd: "/",
      env: programEnv(this.env),
      terminal: {
        cols: 100,
        rows: 30,
        data: (_terminal, bytes) => {
          text += new TextDecoder().decode(bytes);
        },
      },
    });
    await until(
      () => /[#$] /.test(text),
      () => `a prompt on the screen:\n${text}`,
    );
    for (const line of lines) child.terminal?.write(`${line}\r`);
    await until(
      () => child.exitCode !== null,
      () => `the end of the console:\n${text}`,
    );
    return { text, code: child.exitCode ?? 0 };
  }

  /** Gives the terminal of this process to a console. */
  async handOver(vault: string): Promise<void> {
    const child = Bun.spawn([programPath("fly-vault"), "connect", vault], {
      cwd: "/",
      env: programEnv({ ...this.env, TERM: process.env["TERM"] ?? "xterm" }),
      stdio: ["inherit", "inherit", "inherit"],
    });
    await child.exited;
  }
}

export interface Screen {
  readonly text: string;
  readonly code: number;
}

export function must(result: RunResult): RunResult {
  if (result.exitCode === 0) return result;
  throw new Error(`exit code ${result.exitCode}\n${result.stderr}${result.text}`);
}

export async function until(holds: () => boolean, what: () => string): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    if (holds()) return;
    await Bun.sleep(50);
  }
  throw new Error(`waited 15 s in vain for ${what()}`);
}
