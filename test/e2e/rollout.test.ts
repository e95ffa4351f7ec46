import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programEnv, programPath, run, type RunResult } from "../support/program.ts";

const app = "vault-tenants";
const tenants = 12;
const pinned = (digits: string): string =>
  `registry.fly.io/${app}/init@sha256:${digits.padEnd(64, "0")}`;
const images = { old: pinned("01"), new: pinned("02"), badChecks: pinned("bad0") } as const;
const uncordon = "POST /v1/apps/{app}/machines/{id}/uncordon";
const quick = ["--soak-secs", "0", "--health-timeout-secs", "1", "--concurrency", "6"];

interface Machine {
  readonly id: string;
  readonly state: string;
  readonly version: string;
  readonly cordoned: boolean;
  readonly lease?: { readonly description: string };
  readonly config: {
    readonly image: string;
    readonly metadata: Record<string, string>;
  };
}

let folder: string;
let fly: Bun.Subprocess<"ignore", "pipe", Bun.BunFile>;
let env: Record<"FLY_API_BASE" | "FLY_API_TOKEN" | "FLY_APP" | "FLY_VAULT_HOME", string>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "fve-"));
  const times = ["--start-ms", "5", "--checks-ms", "10", "--stop-ms", "5"];
  const place = ["--state-dir", join(folder, "fly"), "--listen", "127.0.0.1:0"];
  fly = Bun.spawn(
    [
      programPath("fly-local"),
      "serve",
      ...place,
      "--no-run",
      ...times,
      "--no-rate-limit",
      "--json",
    ],
    {
      cwd: "/",
      env: programEnv(),
      stdin: "ignore",
      stdout: "pipe",
      stderr: Bun.file(join(folder, "fly.log")),
    },
  );
  const { value } = await fly.stdout.getReader().read();
  const ready = JSON.parse(new TextDecoder().decode(value)) as Record<
    "api_base" | "api_token",
    string
  >;
  env = {
    FLY_API_BASE: ready.api_base,
    FLY_API_TOKEN: ready.api_token,
    FLY_APP: app,
    FLY_VAULT_HOME: join(folder, "home"),
  };
  for (let at = 0; at < tenants; at += 1) await createMachine(`t${at}`);
  await eventually(async () => (await machines()).every(({ state }) => state === "started"));
});

afterAll(async () => {
  fly.kill("SIGTERM");
  await fly.exited;
  rmSync(folder, { recursive: true, force: true });
});

test("the compiled admin: plan, a bad image goes back, a good one stays, killed and resumed", async () => {
  const before = await machines();
  const dry = await updateImage("--image", images.new, "--all-tenants", "--dry-run");
  expect([dry.exitCode, dry.stderr]).toEqual([0, ""]);
  expect(dry.text).toContain(`image ${images.new}\n12 machines, 12 tenants · canary 1: `);
  expect((await machines()).map(({ version }) => version)).toEqual(
    before.map(({ version }) => version),
  );

  const bad = await updateImage("--image", images.badChecks, "--all-tenants", ...quick);
  expect(bad.exitCode).toBe(8);
  expect(bad.stderr).toContain("did not become healthy in time: check up is critical");
  expect(bad.stderr).toContain("1 rolled back, 11 not begun");
  expect(await leftovers(images.old)).toEqual([]);

  // One tenant's machine alone does not stand the new image, late in the rollout.
  const late = before.at(-2)!;
  await setBehaviour(late.id, "bad");
  const one = await updateImage("--image", images.new, "--all-tenants", ...quick);
  expect(one.exitCode).toBe(8);
  expect(one.stderr).toContain(
    `machine ${late.id} (${tenantOf(late)}, ord) failed: did not become`,
  );
  expect(one.stderr).toContain("1 could not be rolled back, 11 rolled back");
  // Its way back failed, too; once it is itself again, the resume gets it there.
  await setBehaviour(late.id, null);
  expect((await updateImage("--resume", newestId())).exitCode).toBe(8);
  expect(await leftovers(images.old)).toEqual([]);

  // Half of them go through, and then it waits to be killed.
  await setFaults([{ call: uncordon, from: tenants / 2, times: "always", do: { kind: "hang" } }]);
  const known = journals().length;
  const killed = start("--image", images.new, "--all-tenants", ...quick);
  await eventually(() => journals().length > known && journalLines().length > 40);
  expect(killed.exitCode).toBeNull();
  if (killed.pid > 1) killed.kill("SIGKILL");
  await killed.exited;
  expect(killed.signalCode).toBe("SIGKILL");
  await setFaults([]);
  const half = new Set((await machines()).map(({ config }) => config.image));
  expect(half).toEqual(new Set([images.old, images.new]));

  const other = await updateImage("--image", images.old, "--all-tenants", ...quick);
  expect([other.exitCode, other.stderr]).toEqual([
    7,
    expect.stringContaining(`--resume ${newestId()}`),
  ]);
  const resumed = await updateImage("--resume", newestId());
  expect([resumed.exitCode, resumed.text]).toEqual([
    0,
    expect.stringContaining("done: 12 updated, 0 skipped, 0 stopped, 0 failed"),
  ]);
  expect(await leftovers(images.new)).toEqual([]);
  const after = await machines();
  expect(after.map(({ config }) => config.metadata)).toEqual(
    before.map(({ config }) => config.metadata),
  );
}, 120_000);

test("the compiled admin: one at a time, and Ctrl-C twice ends it where it is", async () => {
  const [was = ""] = (await machines()).map(({ config }) => config.image);
  const next = was === images.old ? images.new : images.old;
  await setFaults([{ call: uncordon, times: "always", do: { kind: "hang" } }]);
  const known = journals().length;
  const hanging = start("--image", next, "--all-tenants", ...quick);
  await eventually(
    () => journals().length > known && journalLines().some((line) => line.includes('"uncordon"')),
  );
  const second = await updateImage("--image", was, "--all-tenants", ...quick);
  expect([second.exitCode, second.stderr]).toEqual([7, expect.stringContaining("is at work")]);
  hanging.kill("SIGINT");
  const refused = await updateImage("--resume", newestId());
  expect([refused.exitCode, refused.stderr]).toEqual([7, expect.stringContaining("is at work")]);
  expect(hanging.exitCode).toBeNull();
  hanging.kill("SIGINT");
  expect(await hanging.exited).toBe(130);
  await setFaults([]);
  const resumed = await updateImage("--resume", newestId());
  expect([resumed.exitCode, await leftovers(next)]).toEqual([0, []]);
}, 120_000);

async function setFaults(faults: readonly unknown[]): Promise<void> {
  const answer = await fetch(`${env.FLY_API_BASE}/local/v1/faults`, {
    method: "POST",
    headers: { authorization: `Bearer ${env.FLY_API_TOKEN}` },
    body: JSON.stringify({ faults }),
  });
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
}

async function updateImage(...words: readonly string[]): Promise<RunResult> {
  return run("fly-vault-admin", ["tenant", "update-image", ...words], { env });
}

function start(...words: readonly string[]): Bun.Subprocess {
  return Bun.spawn([programPath("fly-vault-admin"), "tenant", "update-image", ...words], {
    cwd: "/",
    env: programEnv(env),
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
}

async function api(method: string, path: string, body?: unknown): Promise<unknown> {
  const answer = await fetch(`${env.FLY_API_BASE}/v1/apps/${app}/machines${path}`, {
    method,
    headers: { authorization: `Bearer ${env.FLY_API_TOKEN}` },
    body: body === undefined ? null : JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text === "" ? undefined : JSON.parse(text);
}

/** By tenant. */
async function machines(): Promise<Machine[]> {
  const all = (await api("GET", "?include_leases=true")) as Machine[];
  return all.toSorted((a, b) => (tenantOf(a) < tenantOf(b) ? -1 : 1));
}

function tenantOf({ config }: Machine): string {
  return config.metadata["fly_vault.tenant_id"] ?? "";
}

async function createMachine(tenant: string): Promise<void> {
  const metadata = {
    "fly_vault.tenant_id": tenant,
    "fly_vault.managed_by": "fly-vault-admin",
    "fly_vault.launch_id": "0123456789abcdef-1",
  };
  const checks = { up: { type: "tcp", port: 8443 } };
  const config = { image: images.old, env: { ACCESS_TOKEN: "t" }, metadata, checks };
  await api("POST", "", { region: "ord", config });
}

async function setBehaviour(id: string, word: string | null): Promise<void> {
  await api("PATCH", `/${id}/metadata`, { metadata: { "fly_local.behaviour": word } });
}

/** Machines that are not as a rollout that is over has to leave them. */
async function leftovers(wanted: string): Promise<Machine[]> {
  return (await machines()).filter(
    ({ state, cordoned, lease, config }) =>
      state !== "started" || cordoned || lease !== undefined || config.image !== wanted,
  );
}

function journals(): string[] {
  const path = join(folder, "home", "rollouts");
  return (existsSync(path) ? readdirSync(path) : [])
    .flatMap((name) => /^(r-.*)\.jsonl$/u.exec(name)?.[1] ?? [])
    .toSorted((a, b) => a.localeCompare(b, "en", { numeric: true }));
}

function newestId(): string {
  return journals().at(-1) ?? "";
}

function journalLines(): string[] {
  const path = join(folder, "home", "rollouts", `${newestId()}.jsonl`);
  return readFileSync(path, "utf8").trim().split("\n");
}

/** Waits for something that another process is about to do. */
async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await Bun.sleep(1);
}
