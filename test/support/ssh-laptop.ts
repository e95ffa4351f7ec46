import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { SshStage } from "./ssh-stage.ts";

/** Processes of the laptop, of this stage alone: by their environment. */
export function clientProcesses(stage: SshStage, argv: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, "utf8");
        const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
        return pid > 1 && words.includes(argv) && environment.includes(stage.vault.home);
      } catch {
        return false;
      }
    });
}

/** An agent with one key, for as long as `body` runs. */
export async function withAgent(
  stage: SshStage,
  body: (env: Readonly<Record<string, string>>, publicKey: string) => Promise<void>,
): Promise<void> {
  const socket = join(stage.folder, `agent-${crypto.randomUUID().slice(0, 8)}.sock`);
  const key = join(stage.folder, `key-${crypto.randomUUID()}`);
  const agent = Bun.spawn(["ssh-agent", "-D", "-a", socket], { stdout: "ignore", env: {} });
  try {
    await until(async () => existsSync(socket));
    const env = { SSH_AUTH_SOCK: socket };
    await stage.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key]);
    await stage.run(["ssh-add", "-q", key], { env });
    const [, publicKey = ""] = (await Bun.file(`${key}.pub`).text()).split(" ");
    await body(env, publicKey);
  } finally {
    agent.kill();
    await agent.exited;
  }
}

export async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let look = 0; look < 600; look++) {
    if (await holds()) return;
    await Bun.sleep(50);
  }
  throw new Error("It never came");
}
