import { afterAll, beforeAll, expect, test } from "bun:test";
import { describedCalls, unnamed } from "../../support/api-schema.ts";
import { type Json, openStage, type Stage } from "./stage.ts";

/** Each call that Fly describes, once; the stage holds requests and answers against the description. */
let stage: Stage;
beforeAll(async () => {
  stage = await openStage({ simulated: { startMs: 1, checksMs: 1, stopMs: 1 } });
});
afterAll(async () => stage.close(), 60_000);

const app = "/v1/apps/app-a";

async function answered(
  status: number,
  method: string,
  path: string,
  body?: unknown,
): Promise<Json> {
  const reply = await stage.call(method, path, body);
  expect([method, path, reply.status]).toEqual([method, path, status]);
  return reply.json;
}

test("every call that is described is answered, and as described", async () => {
  await answered(201, "POST", "/v1/apps", { name: "app-a", org_slug: "local" });
  expect((await answered(200, "GET", "/v1/apps?org_slug=personal")).total_apps).toBe(1);
  await answered(201, "POST", "/v1/apps", { name: "app-z", org_slug: "local" });
  const first = await answered(200, "GET", "/v1/apps?org_slug=local&limit=1");
  const path = `/v1/apps?org_slug=local&cursor=${first.next_cursor}`;
  expect((await answered(200, "GET", path)).apps.map((row: Json) => row.name)).toEqual(["app-z"]);
  const volume = await volumeCalls();
  const machine = await machineCalls(volume);
  await metadataCalls(machine);
  await leaseCalls(machine);
  await platformCalls();
  await answered(200, "POST", `${machine}/stop`, { signal: "SIGTERM", timeout: "10s" });
  await answered(200, "GET", `${machine}/wait?state=stopped,failed&timeout=5`);
  await answered(200, "DELETE", machine);
  await answered(200, "DELETE", `${app}/volumes/${volume}`);
  await answered(202, "DELETE", app);
  await answered(404, "GET", app);

  const called = new Set(
    stage.server.calls.rows.map(({ method, route }) => `${method} ${unnamed(route)}`),
  );
  expect(describedCalls.filter((call) => !called.has(call))).toEqual([]);
});

async function volumeCalls(): Promise<string> {
  const wish = { name: "data", region: "ord", size_gb: 1, compute: { cpus: 1, memory_mb: 256 } };
  const { id } = await answered(200, "POST", `${app}/volumes`, wish);
  const path = `${app}/volumes/${id}`;
  expect(await answered(200, "GET", path)).toMatchObject({ name: "data", size_gb: 1 });
  expect((await answered(200, "GET", `${app}/volumes?limit=5`)).length).toBe(1);
  const changed = await answered(200, "PUT", path, { snapshot_retention: 7 });
  expect(changed).toMatchObject({ snapshot_retention: 7, auto_backup_enabled: true });
  const extended = await answered(200, "PUT", `${path}/extend`, { size_gb: 2 });
  expect(extended).toMatchObject({ volume: { size_gb: 2 }, needs_restart: false });
  await answered(422, "PUT", `${path}/extend`, { size_gb: 1 });
  return id;
}

async function machineCalls(volume: string): Promise<string> {
  const config = {
    image: "registry.fly.io/a/init:1",
    mounts: [{ volume, path: "/data" }],
    checks: { up: { type: "tcp", port: 80 } },
    services: [
      { protocol: "tcp", internal_port: 81, checks: [{ type: "http", path: "/", method: "get" }] },
    ],
  };
  const wish = { name: "one", region: "lhr,ord,any", config, skip_launch: true, lease_ttl: 1 };
  const made = await answered(200, "POST", `${app}/machines`, wish);
  expect([made.region, made.nonce.length]).toEqual(["ord", 16]);
  const path = `${app}/machines/${made.id}`;
  expect((await stage.call("POST", `${path}/start`)).status).toBe(409);
  const nonce = { "fly-machine-lease-nonce": made.nonce };
  expect((await stage.call("DELETE", `${path}/lease`, undefined, nonce)).status).toBe(200);
  await answered(200, "POST", `${path}/start`);
  await answered(200, "GET", `${path}/wait?state=started&timeout=5`);
  const read = await answered(200, "GET", `${path}?include_leases=true`);
  expect(read.checks.map((check: Json) => check.name)).toEqual(["up", "servicecheck-00-http-81"]);
  const update = { config: read.config, current_version: read.version };
  expect((await answered(200, "POST", path, update)).version).not.toBe(read.version);
  await answered(409, "POST", path, update);
  await answered(200, "GET", `${path}/wait?state=started&timeout=5`);
  const exec = { command: ["init", "sessions"], timeout: 5 };
  expect((await answered(200, "POST", `${path}/exec`, exec)).exit_code).toBe(0);
  await answered(200, "POST", `${path}/signal`, { signal: "SIGUSR1" });
  for (const verb of ["cordon", "uncordon", "suspend", "start", "restart?timeout=5s&signal=SIGINT"])
    await answered(200, "POST", `${path}/${verb}`);
  await answered(200, "GET", `${path}/wait?state=started&timeout=5`);
  expect((await answered(200, "GET", `${path}/events?limit=3`)).length).toBe(3);
  expect((await answered(200, "GET", `${path}/versions`)).length).toBe(2);
  const list = `${app}/machines?include_deleted=true&include_leases=true&region=ord`;
  expect((await answered(200, "GET", `${list}&metadata.none=1`)).length).toBe(0);
  expect((await answered(200, "GET", `${app}/machines?summary=true&state=started`)).length).toBe(1);
  return path;
}

async function metadataCalls(machine: string): Promise<void> {
  const path = `${machine}/metadata`;
  for (const method of ["PATCH", "PUT"])
    await answered(204, method, path, { metadata: { a: "1", b: null } });
  await answered(204, "POST", `${path}/c`, { value: "2" });
  expect(await answered(200, "GET", `${path}/c`)).toEqual({ value: "2" });
  await answered(204, "DELETE", `${path}/c`);
  expect(await answered(200, "GET", path)).toEqual({ a: "1" });
}

async function leaseCalls(machine: string): Promise<void> {
  const { nonce } = await answered(201, "POST", `${machine}/lease`, { ttl: 5, description: "d" });
  expect(await answered(200, "GET", `${machine}/lease`)).toMatchObject({ description: "d" });
  const holder = { "fly-machine-lease-nonce": nonce };
  const renewed = await stage.call("POST", `${machine}/lease`, { ttl: 9 }, holder);
  expect(renewed.json.nonce).toBe(nonce);
  expect((await stage.call("DELETE", `${machine}/lease`, undefined, holder)).status).toBe(200);
}

async function platformCalls(): Promise<void> {
  const { machines, error_regions } = await answered(200, "GET", "/v1/orgs/local/machines");
  expect([machines.length, error_regions]).toEqual([1, []]);
  expect(machines[0]).toMatchObject({ app_name: "app-a", config: { metadata: { a: "1" } } });
  const { volumes } = await answered(200, "GET", "/v1/orgs/personal/volumes?limit=1");
  expect(volumes[0]).toMatchObject({ app_name: "app-a", attached_machine_id: machines[0].id });
  expect((await answered(200, "GET", "/v1/platform/regions")).Regions.length).toBe(18);
  const wish = { org_slug: "local", region: "ord,lhr", count: 3 };
  const { regions } = await answered(200, "POST", "/v1/platform/placements", wish);
  expect(regions).toEqual([{ region: "ord", count: 3, concurrency: 3 }]);
  expect((await answered(200, "GET", "/v1/tokens/current")).tokens[0].org_slug).toBe("local");
}
