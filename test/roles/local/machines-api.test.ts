import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { localLimits } from "../../../src/roles/local/limits.ts";
import { answerProblems, requestProblems } from "../../support/api-schema.ts";
import { type Json, openStage, type Stage } from "./stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(async () => stage.close(), 60_000);

const machines = "/v1/apps/app-a/machines";

describe("answers are as the published description says, which every call is held against", () => {
  test("a created machine, the same one listed, and its wait", async () => {
    const created = await stage.machine({ env: { A: "b" }, metadata: { role: "x" } });
    expect(created).toMatchObject({ region: "iad", cordoned: false, config: { env: { A: "b" } } });
    expect(created.id).toMatch(/^[0-9a-f]{14}$/);
    expect(created.instance_id).toMatch(/^[0-9A-Z]{26}$/);
    expect(created.version).toBe(created.instance_id);
    expect(created.state).toBe("created");
    const listed = await stage.call("GET", machines);
    expect(listed.json.map((each: Json) => each.id)).toContain(created.id);
    const waited = await stage.call(
      "GET",
      `${machines}/${created.id}/wait?state=started&timeout=5`,
    );
    expect(waited.headers.get("fly-request-id")).toMatch(/^[0-9A-Z]{26}-local$/);
  });

  test("the checker itself finds what is wrong", () => {
    const path = "/v1/apps/a/machines/0";
    const wrong = { id: 1, events: [{ timestamp: "now" }], surprise: true, host_status: "tired" };
    expect(answerProblems("GET", path, 200, wrong)).toEqual([
      "answer.id: 1 is no string",
      'answer.events[0].timestamp: "now" is no integer',
      "answer.surprise: not described",
      'answer.host_status: "tired" is none of ok, unknown, unreachable',
    ]);
    expect(answerProblems("GET", path, 418, { error: 1 })).toEqual([
      "answer.error: 1 is no string",
    ]);
    expect(answerProblems("POST", "/v1/apps", 200, {})).toEqual(["status 200: not described"]);
    const asked = { config: { image: 1 } };
    expect(requestProblems("POST", path, ["force"], asked)).toEqual([
      "query force",
      "request.config.image: 1 is no string",
    ]);
    expect(requestProblems("GET", "/v1/nothing", [], {})).toBeUndefined();
  });
});

test("calls without the token, with another, or with both schemes are refused", async () => {
  const token = stage.server.apiToken;
  for (const header of ["", "Bearer x", `Bearer FlyV1 ${token}`, `bearer ${token}`, token]) {
    const reply = await stage.call("GET", machines, undefined, { authorization: header });
    expect([header, reply.status]).toEqual([header, 401]);
  }
  const flyV1 = { authorization: `FlyV1 ${token}` };
  expect((await stage.call("GET", machines, undefined, flyV1)).status).toBe(200);
});

test("bad requests name the member that is wrong", async () => {
  const cases: readonly (readonly [unknown, string])[] = [
    [{}, "config"],
    [{ config: {} }, "config.image"],
    [{ config: { image: "i", env: { A: 1 } } }, "config.env.A"],
    [{ config: { image: "i", guest: { memory_mb: 100 } } }, "config.guest.memory_mb"],
    [{ config: { image: "i", stop_config: { timeout: "soon" } } }, "timeout"],
    [{ config: { image: "i", stop_config: { timeout: "301s" } } }, "timeout"],
    [{ config: { image: "i" }, region: "../x" }, "region"],
    [{ config: { image: "i" }, name: "bad name" }, "machine name"],
  ];
  for (const [body, words] of cases) {
    const reply = await stage.call("POST", machines, body);
    expect([body, reply.status]).toEqual([body, 400]);
    expect(reply.json.error).toContain(words);
  }
  const broken = await fetch(stage.server.apiBase + machines, {
    method: "POST",
    body: "{",
    headers: { authorization: `Bearer ${stage.server.apiToken}` },
  });
  expect(broken.status).toBe(400);
});

test("unknown members of a configuration are dropped, as Fly does", async () => {
  const created = await stage.machine({ auto_stop_machines: true, schedule: "daily" });
  expect(created.config).not.toHaveProperty("auto_stop_machines");
  expect(created.config.schedule).toBe("daily");
});

test("unknown paths and methods", async () => {
  expect((await stage.call("GET", "/v1/nothing")).status).toBe(404);
  expect((await stage.call("PUT", machines)).status).toBe(405);
  expect((await stage.call("GET", "/v1/apps/app-a/machines/%zz")).status).toBe(404);
});

test("a name is unique within its app until its machine is destroyed", async () => {
  const first = await stage.machine({}, { name: "only-one" });
  const body = { name: "only-one", config: { image: "i" } };
  const second = await stage.call("POST", machines, body);
  expect(second.status).toBe(422);
  expect(second.json.error).toContain(first.id);
  const both = await Promise.all([
    stage.call("POST", machines, { ...body, name: "race" }),
    stage.call("POST", machines, { ...body, name: "race" }),
  ]);
  expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 422]);
  expect((await stage.call("DELETE", `${machines}/${first.id}?force=true`)).json).toEqual({
    ok: true,
  });
  expect((await stage.call("POST", machines, body)).status).toBe(200);
});

test("lists filter by metadata, state and region, and page", async () => {
  const app = "/v1/apps/app-b/machines";
  const make = async (metadata: Record<string, string>, region: string) =>
    (await stage.call("POST", app, { region, skip_launch: true, config: { image: "i", metadata } }))
      .json.id;
  const a = await make({ tenant: "acme", "fly_vault.x": "1" }, "ord");
  const b = await make({ tenant: "acme" }, "lhr");
  const c = await make({ tenant: "other" }, "ord");
  const ids = async (query: string) =>
    (await stage.call("GET", `${app}?${query}`)).json.map((each: Json) => each.id);
  expect(await ids("metadata.tenant=acme")).toEqual([a, b]);
  expect(await ids("metadata.tenant=acme&metadata.fly_vault.x=1")).toEqual([a]);
  expect(await ids("metadata.constructor=x")).toEqual([]);
  expect(await ids("region=ord,lhr&state=created")).toEqual([a, b, c]);
  expect(await ids("state=started")).toEqual([]);
  const pages: string[][] = [];
  for (let cursor = ""; ;) {
    const reply = await stage.call("GET", `${app}?limit=2${cursor}`);
    pages.push(reply.json.map((each: Json) => each.id));
    const next = reply.headers.get("fly-next-cursor");
    if (next === null) break;
    cursor = `&cursor=${next}`;
  }
  expect(pages).toEqual([[a, b], [c]]);
  expect((await stage.call("GET", `${app}?limit=0`)).status).toBe(400);
  expect((await stage.call("GET", `${app}?limit=1&cursor=zzz`)).status).toBe(400);
  const [summary] = (await stage.call("GET", `${app}?summary=true`)).json;
  expect(summary).not.toHaveProperty("config");
});

test("metadata merges, and leaves the version alone", async () => {
  const { id, version } = await stage.machine({ metadata: { a: "1", b: "2" } });
  const path = `${machines}/${id}/metadata`;
  const merged = await stage.call("PATCH", path, { metadata: { b: null, c: "3", d: "" } });
  expect(merged.status).toBe(204);
  expect((await stage.call("GET", path)).json).toEqual({ a: "1", c: "3" });
  expect((await stage.call("POST", `${path}/e`, { value: "5" })).status).toBe(204);
  expect((await stage.call("GET", `${path}/e`)).json).toEqual({ value: "5" });
  expect((await stage.call("DELETE", `${path}/e`)).status).toBe(204);
  expect((await stage.call("GET", `${path}/e`)).status).toBe(404);
  const stale = { metadata: {}, machine_version: "x" };
  expect((await stage.call("PATCH", path, stale)).status).toBe(412);
  expect((await stage.call("GET", `${machines}/${id}`)).json.version).toBe(version);
  const many = Object.fromEntries(
    Array.from({ length: localLimits.metadataKeysMax + 1 }, (_, at) => [`k${at}`, "v"]),
  );
  expect((await stage.call("PATCH", path, { metadata: many })).status).toBe(400);
});

test("a lease keeps others off; its nonce lets its holder in", async () => {
  const { id } = await stage.machine();
  const lease = await stage.call("POST", `${machines}/${id}/lease`, { ttl: 60 });
  expect(lease.status).toBe(201);
  const { nonce } = lease.json.data;
  expect(lease.json.nonce).toBe(nonce);
  const cordon = `${machines}/${id}/cordon`;
  const refused = await stage.call("POST", cordon);
  expect(refused.status).toBe(409);
  expect(refused.json).toMatchObject({ status: "error" });
  expect(refused.json.message).toContain("lease currently held by");
  const holder = { "fly-machine-lease-nonce": nonce };
  expect((await stage.call("POST", cordon, {}, holder)).status).toBe(200);
  expect((await stage.call("GET", `${machines}/${id}`)).json.cordoned).toBe(true);
  expect((await stage.call("DELETE", `${machines}/${id}/lease`, undefined, holder)).status).toBe(
    200,
  );
  expect((await stage.call("POST", `${machines}/${id}/uncordon`)).status).toBe(200);
  expect((await stage.call("GET", `${machines}/${id}/lease`)).status).toBe(404);
});

test("a volume belongs to one machine, and cannot go while it does", async () => {
  const volumes = "/v1/apps/app-a/volumes";
  const volume = (await stage.call("POST", volumes, { name: "data", region: "ord" })).json;
  const mounts = [{ volume: volume.id, path: "/data" }];
  const elsewhere = { region: "lhr", config: { image: "i", mounts } };
  expect((await stage.call("POST", machines, elsewhere)).json.status).toBe(
    "volume_placement_capacity",
  );
  const owner = await stage.machine({ mounts }, { region: "ord" });
  expect(owner.config.mounts).toEqual([{ volume: volume.id, path: "/data", name: "data" }]);
  const attached = await stage.call("GET", `${volumes}/${volume.id}`);
  expect(attached.json.attached_machine_id).toBe(owner.id);
  const second = await stage.call("POST", machines, { ...elsewhere, region: "ord" });
  expect(second.status).toBe(412);
  expect((await stage.call("DELETE", `${volumes}/${volume.id}`)).status).toBe(412);
  await stage.call("DELETE", `${machines}/${owner.id}?force=true`);
  const gone = await stage.call("DELETE", `${volumes}/${volume.id}`);
  expect(gone.json).toMatchObject({ state: "pending_destroy", attached_machine_id: null });
  const later = (await stage.call("GET", volumes)).json.find((each: Json) => each.id === volume.id);
  expect(later.state).toBe("pending_destroy");
  expect((await stage.call("POST", volumes, { name: "Bad-Name" })).status).toBe(400);
});

test("an app is there once it is used; with --strict-apps only once it is made", async () => {
  expect((await stage.call("GET", "/v1/apps/never-used")).status).toBe(404);
  expect((await stage.call("GET", "/v1/apps/UPPER/machines")).status).toBe(400);
  const strict = await openStage({ strictApps: true });
  try {
    expect((await strict.call("GET", machines)).status).toBe(404);
    const made = await strict.call("POST", "/v1/apps", { name: "app-a", org_slug: "local" });
    expect(made.status).toBe(201);
    expect((await strict.call("GET", machines)).json).toEqual([]);
    const again = await strict.call("POST", "/v1/apps", { name: "app-a", org_slug: "local" });
    expect([again.status, again.json.status]).toEqual([422, "name_taken"]);
    expect((await strict.call("GET", "/v1/apps?org_slug=local")).json.total_apps).toBe(1);
  } finally {
    await strict.close();
  }
});

test("calls that come too fast get 429, per action and machine", async () => {
  let nowMs = 0;
  const paced = await openStage({ paced: true, monotonicMs: () => nowMs });
  try {
    const { id } = await paced.machine();
    const cordon = async () => (await paced.call("POST", `${machines}/${id}/cordon`)).status;
    const burst = [await cordon(), await cordon(), await cordon(), await cordon()];
    expect(burst).toEqual([200, 200, 200, 429]);
    expect((await paced.call("POST", `${machines}/${id}/uncordon`)).status).toBe(200);
    nowMs += 1_000;
    expect([await cordon(), await cordon()]).toEqual([200, 429]);
    // Reading one machine has more room; all else is like a change.
    const statuses = async (path: string, calls: number) =>
      Promise.all(
        Array.from({ length: calls }, async () => (await paced.call("GET", path)).status),
      );
    const refused = async (path: string, calls: number) =>
      (await statuses(path, calls)).filter((status) => status === 429).length;
    expect(await refused(`${machines}/${id}`, 12)).toBe(2);
    expect(await refused(`${machines}/${id}/events`, 5)).toBe(2);
    expect(await refused(machines, 4)).toBe(1);
  } finally {
    await paced.close();
  }
});
