import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { programEnv, run, type RunResult } from "./program.ts";
import { TestVault } from "./test-vault.ts";
import { jsonOutputs } from "../../src/roles/client/json-outputs.ts";
import { checkPrintedJson } from "./printed-json.ts";

export interface ListedLink {
  readonly vault: string;
  readonly state: string;
  readonly pid: number;
  readonly streams: number;
  readonly clients: number;
  readonly idle_ms: number | null;
}

/** A vault whose commands, compiled, share a background link. `close` leaves none of them behind. */
export class LinkStage {
  readonly vault: TestVault;
  readonly runtime: string;

  private constructor(vault: TestVault) {
    this.vault = vault;
    this.runtime = join(vault.folder, "run");
    mkdirSync(this.runtime, { mode: 0o700 });
  }

  static async open(): Promise<LinkStage> {
    return new LinkStage(await TestVault.open());
  }

  get env(): Record<string, string> {
    const own = { XDG_RUNTIME_DIR: this.runtime, FLY_VAULT_NO_LINK: "" };
    return programEnv({ ...this.vault.env, ...own });
  }

  get folder(): string {
    return join(this.runtime, "fly-vault");
  }

  async exec(
    argv: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<{ code: number; text: string; err: string }> {
    const { exitCode, text, stderr } = await this.run(["exec", "dev", ...argv], env);
    return { code: exitCode, text, err: stderr };
  }

  async run(
    argv: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<RunResult> {
    const result = await run("fly-vault", argv, { env: { ...this.env, ...env } });
    checkPrintedJson(jsonOutputs, argv, result.text);
    return result;
  }

  async links(): Promise<readonly ListedLink[]> {
    const { text, stderr } = await this.run(["link", "ls", "--json"]);
    if (text === "") throw new Error(stderr);
    return (JSON.parse(text) as { data: ListedLink[] }).data;
  }

  /** Of the one link there is. */
  async pid(): Promise<number> {
    const [link, ...more] = await this.links();
    if (link === undefined || more.length > 0 || link.pid < 2) throw new Error("Not one link");
    return link.pid;
  }

  async kill(signal: "SIGKILL" | "SIGHUP"): Promise<number> {
    const pid = await this.pid();
    process.kill(pid, signal);
    await until(() => !this.processes().includes(pid));
    return pid;
  }

  /** Background links of this stage, asked of the kernel: by their environment. */
  processes(): number[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => {
        try {
          const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
          const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
          return words.includes("serve") && environment.includes(this.runtime);
        } catch {
          return false;
        }
      });
  }

  /** Ends what this test has started. */
  async stop(): Promise<void> {
    for (const pid of this.processes()) if (pid > 1) process.kill(pid, "SIGTERM");
    await until(() => this.processes().length === 0);
  }

  async close(): Promise<void> {
    await this.stop();
    await this.vault.close();
  }
}

export async function until(isSo: () => boolean, limitMs = 20_000): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!isSo()) {
    if (performance.now() > endMs) throw new Error(`Not so after ${limitMs} ms: ${String(isSo)}`);
    await Bun.sleep(10);
  }
}
