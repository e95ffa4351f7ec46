import { createHash, randomBytes } from "node:crypto";
import { appendFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "../free-port.ts";
import type { LocalFly, Tenant } from "../../test/support/local-fly.ts";
import { programEnv, programPath, type RunResult } from "../../test/support/program.ts";
import type { Laptop } from "./laptop.ts";
import { changedRootfs } from "./rootfs.ts";

/** Each is one thing people do; resolves with what there is to show of it. */

const pipeBytes = 100 * 1024 * 1024;

/** The invite is what the admin hands over; the root filesystem is the user's own choice. */
export async function addVault(laptop: Laptop, invite: string, rootfs: string): Promise<string> {
  await mkdir(join(laptop.home, "run"), { mode: 0o700, recursive: true });
  const { stderr } = await laptop.vault(["add", "dev", "--from", invite]);
  await appendFile(
    join(laptop.home, "config/fly-vault/config.toml"),
    `rootfs = ${JSON.stringify(rootfs)}\n`,
  );
  return echo(stderr);
}

export async function pipe(laptop: Laptop): Promise<string> {
  const bytes = randomBytes(pipeBytes);
  const result = await laptop.vault(["exec", "dev", "--", "cat"], bytes);
  const [sent, received] = [sha256(bytes), sha256(result.stdout)];
  if (sent !== received) throw new Error(`The pipe changed the bytes: ${sent} became ${received}`);
  return `sha256 ${received.slice(0, 16)}… on both sides`;
}

export async function consoleSession(laptop: Laptop): Promise<string> {
  const { text, code } = await laptop.console(["connect", "dev"], ["stty size; tty; exit 7"]);
  if (code !== 7) throw new Error(`The console ended with ${code}: ${text}`);
  return `${/\/dev\/pts\/\d+/.exec(text)?.[0] ?? "?"}, size ${/30 100/.exec(text)?.[0] ?? "?"}, exit status ${code}`;
}

/** Started, left alone, asked for later. */
export async function detached(laptop: Laptop): Promise<string> {
  const work = "for n in 1 2 3; do echo step $n; sleep 0.2; done";
  await laptop.vault(["run", "dev", "--name", "work", "--", "sh", "-c", work]);
  await laptop.vault(["wait", "dev", "work"]);
  const [logs, listed] = [
    await laptop.vault(["logs", "dev", "work"]),
    await laptop.vault(["sessions", "dev"]),
  ];
  echo(listed.text);
  return logs.text.trim().replaceAll("\n", ", ");
}

export async function copy(laptop: Laptop): Promise<string> {
  const folder = join(laptop.home, "src");
  await mkdir(folder, { recursive: true });
  for (let index = 0; index < 500; index += 1)
    await writeFile(join(folder, `file-${index}`), `content of ${index}\n`);
  const first = await laptop.vault(["cp", "-r", folder, "dev:/root/"]);
  const again = await laptop.vault(["cp", "-r", folder, "dev:/root/"]);
  echo(first.stderr + again.stderr);
  const count = await laptop.vault(["exec", "dev", "--", "sh", "-c", "ls /root/src | wc -l"]);
  return `${count.text.trim()} files there`;
}

/** OpenSSH itself, with an ssh_config of its own. */
export async function ssh(laptop: Laptop): Promise<string> {
  const config = join(laptop.home, "ssh_config");
  await writeFile(config, (await laptop.vault(["ssh-config", "show"])).text);
  return laptop.other(["ssh", "-F", config, "dev.vault", "echo over ssh, as $(whoami)"]);
}

export async function forward(laptop: Laptop): Promise<string> {
  const serve =
    "mkdir -p /tmp/www && echo '<h1>from inside the machine</h1>' > /tmp/www/index.html && busybox httpd -p 127.0.0.1:3000 -h /tmp/www";
  await laptop.vault(["exec", "dev", "--", "sh", "-c", serve]);
  const port = freePort();
  const child = Bun.spawn([programPath("fly-vault"), "forward", "dev", `${port}:3000`], {
    cwd: "/",
    env: programEnv(laptop.env),
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  try {
    const page = await retry(async () => (await fetch(`http://127.0.0.1:${port}/`)).text());
    return page.trim();
  } finally {
    child.kill("SIGTERM");
    await child.exited;
  }
}

/** The command notices nothing: the next datagram carries its own way. */
export async function replaceProxy(laptop: Laptop, replace: () => Promise<void>): Promise<string> {
  const count = "for n in 1 2 3 4 5 6 7 8; do echo $n; sleep 0.25; done";
  const counting = laptop.vault(["exec", "dev", "--", "sh", "-c", count]);
  await Bun.sleep(500);
  await replace();
  const { text } = await counting;
  if (text !== "1\n2\n3\n4\n5\n6\n7\n8\n") throw new Error(`The command lost output: ${text}`);
  return "counted to 8, each number once";
}

export async function wake(local: LocalFly, tenant: Tenant, laptop: Laptop): Promise<string> {
  const machine = `${local.apiBase}/v1/apps/${tenant.app}/machines/${tenant.machineId}`;
  const headers = { authorization: `Bearer ${local.apiToken}` };
  await fetch(`${machine}/stop`, { method: "POST", headers, body: "{}" });
  await fetch(`${machine}/wait?state=stopped&timeout=30`, { headers });
  const { stderr, text } = await laptop.vault(["exec", "dev", "--", "echo", "awake again"]);
  echo(stderr);
  return text.trim();
}

export async function reprovision(laptop: Laptop, archive: string): Promise<string> {
  await laptop.vault(["exec", "dev", "--", "sh", "-c", "echo 'still here' > /root/kept"]);
  const changed = await changedRootfs(archive, laptop.home);
  const { stderr } = await laptop.vault(["provision", "dev", "--from", changed]);
  echo(stderr);
  const result = await laptop.vault([
    "exec",
    "dev",
    "--",
    "cat",
    "/etc/demo-release",
    "/root/kept",
  ]);
  return result.text.trim().replaceAll("\n", ", ");
}

/** Shown as it was printed; its last line is the result. */
export function shown({ stderr, text }: RunResult): string {
  return echo(stderr + text);
}

function echo(text: string): string {
  const lines = text.trimEnd().split("\n");
  for (const line of lines) process.stdout.write(`   | ${line}\n`);
  return lines.at(-1)?.trim() ?? "";
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function retry<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (tries === 100) throw error;
      await Bun.sleep(100);
    }
  }
}
