import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main } from "../../../src/roles/admin/main.ts";
import { type LocalServer, startLocal } from "../../../src/roles/local/server.ts";
import { type MemoryContext, memoryContext } from "../../support/memory-context.ts";
import { jsonOutputs } from "../../../src/roles/admin/json-outputs.ts";
import { checkPrintedJson } from "../../support/printed-json.ts";

const app = "vault-tenants";
const pinned = (digits: string): string =>
  `registry.fly.io/${app}/init@sha256:${digits.padEnd(64, "0")}`;

export const images = {
  old: pinned("01"),
  new: pinned("02"),
  third: pinned("03"),
  /** Runs, but its checks never pass. */
  sick: pinned("bad0"),
  /** Ends soon after every start. */
  crashing: pinned("bad1"),
} as const;

export interface FleetMachine {
  readonly id: string;
  readonly state: string;
  readonly region: string;
  readonly version: string;
  readonly cordoned: boolean;
  readonly lease?: { readonly owner: string; readonly description: string };
  readonly config: {
    readonly image: string;
    readonly env: Record<string, string>;
    readonly metadata: Record<string, string>;
  };
}

interface MachineMore {
  readonly region?: string;
  readonly image?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A fleet of records behind the Machines API, and an administrator. */
export interface FleetStage {
  readonly fly: LocalServer;
  readonly env: Readonly<Record<string, string>>;
  /** One machine of the tenant; returns its id. */
  create(tenant: string, more?: MachineMore): Promise<string>;
  /** As many tenants, of a machine each, in three regions. */
  createTenants(count: number): Promise<void>;
  call(method: string, path: string, body?: unknown): Promise<unknown>;
  machines(): Promise<FleetMachine[]>;
  start(words: readonly string[], tty?: boolean): { context: MemoryContext; exit: Promise<number> };
  admin(...words: readonly string[]): Promise<{ exitCode: number; out: string; err: string }>;
  /** Ids of rollouts, the oldest first. */
  journals(): string[];
  /** Lines of the newest journal, the plan's not among them. */
  journal(): string[];
  close(): Promise<void>;
}

export async function openFleetStage(
  options: { readonly lagMs?: number } = {},
): Promise<FleetStage> {
  const dir = mkdtempSync(join(tmpdir(), "fvr-"));
  const fly = await startLocal({
    stateDir: join(dir, "fly"),
    hostname: "127.0.0.1",
    port: 0,
    org: "local",
    region: "iad",
    entrypoint: [],
    evidencePace: undefined,
    paced: false,
    strictApps: false,
    lagMs: options.lagMs ?? 0,
    simulated: { startMs: 5, checksMs: 10, stopMs: 5 },
    log: () => undefined,
    wallMs: () => Date.now(),
    monotonicMs: () => performance.now(),
  });
  const env = {
    FLY_API_BASE: fly.apiBase,
    FLY_API_TOKEN: fly.apiToken,
    FLY_APP: app,
    FLY_VAULT_HOME: join(dir, "home"),
  };
  const call: FleetStage["call"] = async (method, path, body) => {
    const answer = await fetch(`${fly.apiBase}${path}`, {
      method,
      headers: { authorization: `Bearer ${fly.apiToken}` },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const json: unknown = await answer.json();
    if (!answer.ok) throw new Error(`${method} ${path}: ${JSON.stringify(json)}`);
    return json;
  };
  const machinesPath = `/v1/apps/${app}/machines`;
  const create: FleetStage["create"] = async (tenant, more = {}) => {
    const metadata = {
      "fly_vault.tenant_id": tenant,
      "fly_vault.managed_by": "fly-vault-admin",
      ...more.metadata,
    };
    const config = {
      image: more.image ?? images.old,
      env: { ACCESS_TOKEN: `token-of-${tenant}` },
      metadata,
      checks: { up: { type: "tcp", port: 8443 } },
    };
    const made = await call("POST", machinesPath, { region: more.region ?? "ord", config });
    const { id } = made as FleetMachine;
    // Nothing here keeps a cookie: before that it is not there for everybody who asks.
    if (options.lagMs !== undefined) await Bun.sleep(2 * options.lagMs);
    await call("GET", `${machinesPath}/${id}/wait?state=started`);
    return id;
  };
  const folder = join(dir, "home", "rollouts");
  const journals = (): string[] =>
    (existsSync(folder) ? readdirSync(folder) : [])
      .flatMap((name) => /^(r-.*)\.jsonl$/.exec(name)?.[1] ?? [])
      .toSorted((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const start: FleetStage["start"] = (words, tty = false) => {
    const context = memoryContext({ env, columns: 100, tty });
    return { context, exit: main(["tenant", "update-image", ...words], context) };
  };
  return {
    fly,
    env,
    create,
    createTenants: async (count) => {
      const regions = ["ord", "fra", "syd"];
      await Promise.all(
        Array.from({ length: count }, async (_, at) =>
          create(`t${at}`, { region: regions[at % 3] ?? "ord" }),
        ),
      );
    },
    call,
    machines: async () =>
      (await call("GET", `${machinesPath}?include_leases=true`)) as FleetMachine[],
    start,
    admin: async (...words) => {
      const { context, exit } = start(words);
      const exitCode = await exit;
      checkPrintedJson(jsonOutputs, ["tenant", "update-image", ...words], context.out());
      return { exitCode, out: context.out(), err: context.err() };
    },
    journals,
    journal: () => {
      const path = join(folder, `${journals().at(-1)}.jsonl`);
      return readFileSync(path, "utf8").trim().split("\n").slice(1);
    },
    close: async () => {
      await fly.close({ keepMachines: false });
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** What a finished rollout must not leave on any machine. */
export function leftovers(machines: readonly FleetMachine[]): string[] {
  return machines.flatMap(({ id, cordoned, lease, config: { image } }) => [
    ...(cordoned ? [`${id} is cordoned`] : []),
    ...(lease?.description.startsWith("fly-vault-admin") === true ? [`${id} is leased`] : []),
    ...(image === images.old || image === images.new ? [] : [`${id} is on ${image}`]),
  ]);
}
