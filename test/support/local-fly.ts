import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tenantTemplate } from "./tenant-template.ts";
import { programEnv, programPath, run, type RunOptions, type RunResult } from "./program.ts";

/** A running fly-local with a folder of its own; everything in it is gone after `stop`. */
export interface LocalFly {
  readonly folder: string;
  readonly apiBase: string;
  readonly issuer: string;
  readonly org: string;
  readonly apiToken: string;
  admin(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Creates a tenant with one machine; its config is what a client needs to reach it. `more` words for the admin. */
  createTenant(id: string, more?: readonly string[]): Promise<Tenant>;
  stop(): Promise<void>;
}

export interface Tenant {
  readonly id: string;
  readonly app: string;
  readonly machineId: string;
  readonly address: string;
  readonly accessToken: string;
}

const app = "vault-tenants";

export interface LocalFlyOptions {
  /** Puts all of fly-local's state on a file system of this size, to see disks run full. */
  readonly volumesMebibytes?: number;
  /** What machines run in place of init. */
  readonly entrypoint?: string;
}

export async function startLocalFly(options: LocalFlyOptions = {}): Promise<LocalFly> {
  const folder = await mkdtemp(join(tmpdir(), "fly-vault-"));
  const stateFolder = join(folder, "fly");
  await mkdir(stateFolder, { mode: 0o700 });
  const small = options.volumesMebibytes;
  if (small !== undefined)
    system("mount", "-t", "tmpfs", "-o", `size=${small}m`, "tmpfs", stateFolder);
  const child = Bun.spawn(
    [
      programPath("fly-local"),
      "serve",
      "--state-dir",
      stateFolder,
      "--listen",
      "127.0.0.1:0",
      "--json",
      ...(options.entrypoint === undefined ? [] : ["--init", options.entrypoint]),
    ],
    {
      cwd: "/",
      env: programEnv(),
      stdin: "ignore",
      stdout: "pipe",
      stderr: Bun.file(join(folder, "fly.log")),
    },
  );
  const ready = await firstLine(child.stdout);
  const { api_base, issuer, org, api_token } = JSON.parse(ready) as Record<
    "api_base" | "issuer" | "org" | "api_token",
    string
  >;
  const env = {
    FLY_API_BASE: api_base,
    FLY_API_TOKEN: api_token,
    FLY_APP: app,
    FLY_VAULT_HOME: join(folder, "home"),
    FLY_VAULT_STAY_SECS: "0",
  };

  const admin = async (argv: readonly string[], given: RunOptions = {}): Promise<RunResult> =>
    run("fly-vault-admin", argv, { ...given, env: { ...env, ...given.env } });

  return {
    folder,
    apiBase: api_base,
    issuer,
    org,
    apiToken: api_token,
    admin,
    createTenant: async (id, more = []) => createTenant(id, folder, admin, more),
    stop: async () => {
      child.kill("SIGTERM");
      await child.exited;
      if (small !== undefined) system("umount", stateFolder);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function createTenant(
  id: string,
  folder: string,
  admin: LocalFly["admin"],
  more: readonly string[],
): Promise<Tenant> {
  const template = join(folder, "tenant.template.toml");
  await writeFile(template, tenantTemplate(app));
  const accessToken = `token-of-${id}`;
  const created = await admin([
    "tenant",
    "create",
    id,
    "--template",
    template,
    "--access-token",
    accessToken,
    ...more,
  ]);
  if (created.exitCode !== 0) throw new Error(`tenant create: ${created.stderr}${created.text}`);
  const listed = await admin(["tenant", "list", "--tenant", id, "--json"]);
  const [tenant] = JSON.parse(listed.text) as { machines: { id: string; private_ip: string }[] }[];
  const machine = tenant?.machines[0];
  if (machine === undefined) throw new Error(`tenant list has no machine: ${listed.text}`);
  return { id, app, machineId: machine.id, address: `${machine.private_ip}:8443`, accessToken };
}

function system(...command: readonly string[]): void {
  const result = Bun.spawnSync([...command], { env: programEnv() });
  if (!result.success) throw new Error(`${command.join(" ")}: ${result.stderr.toString()}`);
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const chunk of stream) {
    text += new TextDecoder().decode(chunk);
    const end = text.indexOf("\n");
    if (end >= 0) return text.slice(0, end);
  }
  throw new Error(`fly-local ended before it was ready: ${text}`);
}
