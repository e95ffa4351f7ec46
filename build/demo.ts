import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type LocalFly, startLocalFly, type Tenant } from "../test/support/local-fly.ts";
import { makeProxyKeys, startLocalProxy } from "../test/support/local-proxy.ts";
import { programEnv, programPath, run, type RunResult } from "../test/support/program.ts";
import { changedRootfs, debianRootfs } from "./demo/rootfs.ts";
import { Timeline } from "./demo/timeline.ts";

/**
 * `make demo`: the main job with nothing pretended but Fly itself. A tenant is created on a local
 * Fly behind a proxy, its machine is provisioned with a Debian root filesystem and worked on; then all
 * is removed.
 */
const pipeBytes = 100 * 1024 * 1024;
const app = "vault-tenants";
const timeline = new Timeline();

const archive = await timeline.step(
  "make a Debian rootfs (mmdebstrap)",
  debianRootfs,
  (path) => `${mib(Bun.file(path).size)} in ${path.split("/").at(-1)}`,
);
const fly = await timeline.step(
  "start fly-local",
  startLocalFly,
  (local) => `${local.apiBase}, issuer ${local.issuer}`,
);
const keys = await makeProxyKeys(fly);
let proxy = await timeline.step(
  "start vault-proxy",
  async () => startLocalProxy(fly, { app }, keys),
  ({ address }) => `UDP at ${address}, with a key of its own`,
);
try {
  await demonstrate(fly);
} catch (error) {
  process.stderr.write(await machineLogs(fly.folder));
  throw error;
} finally {
  await timeline.step(
    "stop everything",
    async () => {
      await proxy.stop();
      await fly.stop();
    },
    () => "vault-proxy, fly-local and its machines are gone",
  );
}
const left = await leftovers(fly.folder);
if (left.length > 0) {
  console.error(`left behind: ${left.join(", ")}`);
  process.exit(1);
}
timeline.print();

async function demonstrate(local: LocalFly): Promise<void> {
  const tenant = await timeline.step(
    "fly-vault-admin tenant create acme --proxy",
    async () => local.createTenant("acme", ["--proxy", proxy.address, "--key-file", keys.file]),
    (made) => `machine ${made.machineId} at ${made.address}`,
  );
  const vault = await configure(local, tenant, archive);

  await timeline.step(
    "provision, first connection (attest, log in, unpack, boot)",
    async () => vault("exec", ["-v", "dev", "--", "uname", "-a"]),
    show,
  );
  await timeline.step(
    "verify the attestation again, warm",
    async () => vault("exec", ["-v", "dev", "--", "cat", "/etc/os-release"]),
    (result) => firstLineOf(result),
  );
  await timeline.step(
    "100 MiB through exec as a pipe",
    async () => pipe(vault),
    (digest) => `sha256 ${digest.slice(0, 16)}… on both sides`,
  );
  await timeline.step(
    "a console on a terminal",
    async () => consoleSession(local),
    (shown) => shown,
  );
  await timeline.step(
    "forward a port to a server inside, fetch a page",
    async () => forward(local, vault),
    (page) => page,
  );
  await timeline.step(
    "kill -9 the proxy and start it again under a running command",
    async () => replaceProxy(local, vault),
    (shown) => shown,
  );
  await timeline.step(
    "stop the machine; the next command wakes it",
    async () => wake(local, tenant, vault),
    firstLineOf,
  );
  await timeline.step(
    "write /root/kept and reprovision with a changed rootfs",
    async () => reprovision(local, tenant, vault),
    (shown) => shown,
  );
  if (process.stdin.isTTY && process.stdout.isTTY && process.env["CI"] === undefined)
    await handOver(local);
  await timeline.step(
    "fly-vault-admin tenant delete acme",
    async () => local.admin(["tenant", "delete", "acme", "--yes"]).then(must),
    () => "machine and volume deleted",
  );
}

type Vault = (command: string, words: readonly string[], stdin?: Uint8Array) => Promise<RunResult>;

async function configure(local: LocalFly, tenant: Tenant, rootfs: string): Promise<Vault> {
  const folder = join(local.folder, "config/fly-vault");
  await mkdir(folder, { recursive: true });
  const config = `[vault.dev]
address = "${proxy.address}"
org = "${local.org}"
app = "${tenant.app}"
issuer = "${local.issuer}"
machine_id = "${tenant.machineId}"
admission_key = "${keys.keyOf(tenant.machineId)}"
access_token = "${tenant.accessToken}"
rootfs = "${rootfs}"
`;
  await writeFile(join(folder, "config.toml"), config, { mode: 0o600 });
  return async (command, words, stdin) =>
    must(
      await run("fly-vault", [command, ...words], {
        env: clientEnv(local),
        timeoutMs: 110_000,
        ...(stdin === undefined ? {} : { stdin }),
      }),
    );
}

function clientEnv(local: LocalFly): Record<string, string> {
  return {
    HOME: local.folder,
    XDG_CONFIG_HOME: join(local.folder, "config"),
    XDG_STATE_HOME: join(local.folder, "state"),
    XDG_CACHE_HOME: join(local.folder, "cache"),
  };
}

async function pipe(vault: Vault): Promise<string> {
  const bytes = randomBytes(pipeBytes);
  const result = await vault("exec", ["dev", "--", "cat"], bytes);
  const [sent, received] = [sha256(bytes), sha256(result.stdout)];
  if (sent !== received) throw new Error(`The pipe changed the bytes: ${sent} became ${received}`);
  return received;
}

/** Types into a real console under a pseudo-terminal and reads what a person would see. */
async function consoleSession(local: LocalFly): Promise<string> {
  let screen = "";
  const child = Bun.spawn([programPath("fly-vault"), "connect", "dev"], {
    cwd: "/",
    env: programEnv(clientEnv(local)),
    terminal: {
      cols: 100,
      rows: 30,
      data: (_terminal, bytes) => {
        screen += new TextDecoder().decode(bytes);
      },
    },
  });
  const shows = async (pattern: RegExp): Promise<void> =>
    until(
      () => pattern.test(screen),
      () => `${pattern} on the screen:\n${screen}`,
    );
  await shows(/[#$] /);
  child.terminal?.write("stty size; tty; exit 7\r");
  await until(
    () => child.exitCode !== null,
    () => `the end of the console:\n${screen}`,
  );
  const code = child.exitCode;
  if (code !== 7) throw new Error(`The console ended with ${code}: ${screen}`);
  return `${/\/dev\/pts\/\d+/.exec(screen)?.[0] ?? "?"}, size ${/30 100/.exec(screen)?.[0] ?? "?"}, exit status ${code}`;
}

async function forward(local: LocalFly, vault: Vault): Promise<string> {
  await vault("exec", [
    "dev",
    "--",
    "sh",
    "-c",
    "mkdir -p /tmp/www && echo '<h1>from inside the machine</h1>' > /tmp/www/index.html && busybox httpd -p 127.0.0.1:3000 -h /tmp/www",
  ]);
  const port = freePort();
  const child = Bun.spawn(
    [programPath("fly-vault"), "connect", "dev", "--forward", `${port}:localhost:3000`],
    {
      cwd: "/",
      env: programEnv(clientEnv(local)),
      stdin: "pipe",
      stdout: "ignore",
      stderr: "ignore",
    },
  );
  try {
    const page = await retry(async () => (await fetch(`http://127.0.0.1:${port}/`)).text());
    return page.trim();
  } finally {
    await child.stdin.end();
    child.kill("SIGTERM");
    await child.exited;
  }
}

/** The command notices nothing: the next datagram carries its own way. */
async function replaceProxy(local: LocalFly, vault: Vault): Promise<string> {
  const counting = vault("exec", [
    "dev",
    "--",
    "sh",
    "-c",
    "for n in 1 2 3 4 5 6 7 8; do echo $n; sleep 0.25; done",
  ]);
  await Bun.sleep(500);
  proxy.kill("SIGKILL");
  await proxy.exited;
  proxy = await startLocalProxy(local, { app }, keys, { port: proxy.port });
  const { text } = await counting;
  if (text !== "1\n2\n3\n4\n5\n6\n7\n8\n") throw new Error(`The command lost output: ${text}`);
  return "counted to 8, each number once";
}

async function wake(local: LocalFly, tenant: Tenant, vault: Vault): Promise<RunResult> {
  const machine = `${local.apiBase}/v1/apps/${tenant.app}/machines/${tenant.machineId}`;
  const headers = { authorization: `Bearer ${local.apiToken}` };
  await fetch(`${machine}/stop`, { method: "POST", headers, body: "{}" });
  await fetch(`${machine}/wait?state=stopped&timeout=30`, { headers });
  return vault("exec", ["dev", "--", "echo", "awake again"]);
}

async function reprovision(local: LocalFly, tenant: Tenant, vault: Vault): Promise<string> {
  await vault("exec", ["dev", "--", "sh", "-c", "echo 'still here' > /root/kept"]);
  const changed = await changedRootfs(archive, local.folder);
  const renewed = await configure(local, tenant, changed);
  await renewed("connect", ["dev", "--reprovision"], new TextEncoder().encode("exit\n"));
  const result = await renewed("exec", ["dev", "--", "cat", "/etc/demo-release", "/root/kept"]);
  return result.text.trim().replaceAll("\n", ", ");
}

async function handOver(local: LocalFly): Promise<void> {
  process.stdout.write(
    "\nThis console is in the machine; leave it with `exit`, then everything is removed.\n\n",
  );
  const child = Bun.spawn([programPath("fly-vault"), "connect", "dev"], {
    cwd: "/",
    env: programEnv({ ...clientEnv(local), TERM: process.env["TERM"] ?? "xterm" }),
    stdio: ["inherit", "inherit", "inherit"],
  });
  await child.exited;
}

/** What the machines wrote, for a demo that failed. */
async function machineLogs(folder: string): Promise<string> {
  let text = "";
  for await (const path of new Bun.Glob("fly/machines/*/log").scan(folder))
    text += await Bun.file(join(folder, path)).text();
  return text;
}

/** Processes that name the demo's folder, and mounts below it. */
async function leftovers(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const words = await Bun.file(`/proc/${pid}/environ`)
      .text()
      .catch(() => "");
    if (words.includes(folder)) found.push(`process ${pid}`);
  }
  const mounts = await Bun.file("/proc/self/mounts").text();
  for (const line of mounts.split("\n"))
    if (line.includes(folder)) found.push(`mount ${line.split(" ")[1]}`);
  return found;
}

function must(result: RunResult): RunResult {
  if (result.exitCode === 0) return result;
  throw new Error(`exit code ${result.exitCode}\n${result.stderr}${result.text}`);
}

function show(result: RunResult): string {
  for (const line of result.stderr.trim().split("\n")) process.stdout.write(`   | ${line}\n`);
  return result.text.trim();
}

function firstLineOf(result: RunResult): string {
  show(result);
  return result.text.split("\n")[0] ?? "";
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function mib(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

function freePort(): number {
  const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  const { port } = probe;
  probe.stop(true);
  return port;
}

async function until(holds: () => boolean, what: () => string): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    if (holds()) return;
    await Bun.sleep(50);
  }
  throw new Error(`waited 15 s in vain for ${what()}`);
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
