import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { localLimits } from "../../../src/roles/local/limits.ts";
import { type Json, openStage, type Reply, type Stage } from "./stage.ts";

/** Fly's rules for leases, room, lists and limits, on machines that are records. */
let nowMs = Date.now();
let stage: Stage;
beforeAll(async () => {
  stage = await openStage({
    simulated: { startMs: 1, checksMs: 1, stopMs: 1 },
    capacity: { ord: 2, lhr: 0 },
    wallMs: () => nowMs,
  });
});
afterAll(async () => stage.close(), 60_000);

const machines = "/v1/apps/app-a/machines";
const asleep = { skip_launch: true, config: { image: "i" } };

async function make(region: string, more: Json = {}): Promise<Reply> {
  return stage.call("POST", machines, { region, config: { image: "i" }, ...more });
}

async function page(query: string): Promise<Reply> {
  return stage.call("GET", `/v1/apps/app-b/machines?${query}`);
}

describe("leases", () => {
  test("every call that changes a machine is refused without the nonce, metadata apart", async () => {
    const { id, config } = (await stage.call("POST", machines, asleep)).json;
    const path = `${machines}/${id}`;
    const { nonce, version } = (await stage.call("POST", `${path}/lease?ttl=60`)).json;
    const calls: readonly (readonly [string, string, unknown?])[] = [
      ["POST", path, { config }],
      ["DELETE", path],
      ...["start", "stop", "suspend", "restart", "cordon", "uncordon", "lease"].map(
        (verb) => ["POST", `${path}/${verb}`] as const,
      ),
      ["POST", `${path}/signal`, { signal: "SIGHUP" }],
      ["DELETE", `${path}/lease`],
    ];
    for (const [method, call, body] of calls) {
      for (const headers of [{}, { "fly-machine-lease-nonce": "wrong" }]) {
        const reply = await stage.call(method, call, body, headers);
        expect([call, reply.status]).toEqual([call, 409]);
        expect(reply.json.message).toMatch(
          /^lease currently held by .*@tokens\.fly\.io, expires at/,
        );
      }
    }
    expect((await stage.call("PATCH", `${path}/metadata`, { metadata: { a: "1" } })).status).toBe(
      204,
    );
    const holder = { "fly-machine-lease-nonce": nonce };
    expect((await stage.call("POST", path, { config, skip_launch: true }, holder)).status).toBe(
      200,
    );
    const lease = (await stage.call("GET", `${path}/lease`)).json;
    expect([lease.nonce, lease.version === version]).toEqual([nonce, false]);
  });

  test("a lease runs out, is renewed by its nonce, and not by an old one", async () => {
    const { id, nonce } = (await stage.call("POST", machines, { ...asleep, lease_ttl: 10 })).json;
    const path = `${machines}/${id}/lease`;
    const renew = async (given: string) =>
      (await stage.call("POST", path, { ttl: 10 }, { "fly-machine-lease-nonce": given })).status;
    nowMs += 9_000;
    expect([await renew(nonce), await renew("another")]).toEqual([201, 409]);
    nowMs += 9_000;
    expect((await stage.call("GET", path)).status).toBe(200);
    const shown = async (query: string) =>
      (await stage.call("GET", `${machines}/${id}?${query}`)).json.lease;
    expect(Object.keys(await shown("include_leases=true"))).not.toContain("nonce");
    expect(await shown("")).toBeUndefined();
    nowMs += 2_000;
    expect(await shown("include_leases=true")).toBeUndefined();
    expect((await stage.call("GET", path)).status).toBe(404);
    const next = (await stage.call("POST", path, { ttl: localLimits.leaseSecondsMax })).json.nonce;
    expect(next).not.toBe(nonce);
    expect(await renew(nonce)).toBe(409);
    const other = `${machines}/${(await stage.call("POST", machines, asleep)).json.id}/lease`;
    for (const bad of ["0", "x", `${localLimits.leaseSecondsMax + 1}`])
      expect((await stage.call("POST", `${other}?ttl=${bad}`)).status).toBe(400);
    const { expires_at } = (await stage.call("POST", other)).json;
    expect(expires_at).toBe(Math.floor(nowMs / 1_000) + localLimits.leaseSeconds);
  });
});

describe("room", () => {
  test("the first region of the list with room is taken; none is 422", async () => {
    const places = [];
    for (const _ of [1, 2, 3]) places.push((await make("lhr,ord,iad")).json.region);
    expect(places).toEqual(["ord", "ord", "iad"]);
    const full = await make("ord,lhr");
    expect([full.status, full.json.status]).toEqual([422, "insufficient_capacity"]);
    const { regions } = (
      await stage.call("POST", "/v1/platform/placements", { org_slug: "local", region: "ord,lhr" })
    ).json;
    expect(regions).toEqual([]);
  });

  test("what rests needs none, and may find none when it starts again", async () => {
    const resting = await make("ord", { skip_launch: true });
    expect(resting.status).toBe(200);
    const path = `${machines}/${resting.json.id}`;
    for (const [call, body] of [
      [`${path}/start`, undefined],
      [path, { config: { image: "j" } }],
    ] as const) {
      const reply = await stage.call("POST", call, body);
      expect(reply.status).toBe(409);
      expect(reply.json.error).toContain("could not reserve resource");
    }
    expect((await stage.call("GET", path)).json.config.image).toBe("i");
    const changed = await stage.call("POST", path, { config: { image: "j" }, skip_launch: true });
    expect(changed.status).toBe(200);
  });

  test("a volume ties its machine to a region that may be full", async () => {
    const volumes = "/v1/apps/app-a/volumes";
    const volume = (await stage.call("POST", volumes, { name: "tied", region: "ord" })).json.id;
    const mounts = [{ volume, path: "/data" }];
    const reply = await make("iad,ord", { config: { image: "i", mounts } });
    expect([reply.status, reply.json.status]).toEqual([412, "volume_placement_capacity"]);
    const compute = { cpus: 1 };
    const asked = await stage.call("POST", volumes, { name: "new", region: "lhr", compute });
    expect([asked.status, asked.json.status]).toEqual([412, "volume_placement_capacity"]);
    expect((await make("xyz")).status).toBe(400);
  });
});

describe("lists", () => {
  test("a cursor outlives its row, and dies half an hour after the first page", async () => {
    const ids = [];
    for (const _ of [1, 2, 3, 4]) {
      nowMs += 1;
      ids.push((await stage.call("POST", "/v1/apps/app-b/machines", asleep)).json.id);
    }
    const first = await page("limit=2");
    const cursor = first.headers.get("fly-next-cursor");
    await stage.call("DELETE", `/v1/apps/app-b/machines/${ids[1]}`);
    const second = await page(`limit=1&cursor=${cursor}`);
    expect(second.json.map((row: Json) => row.id)).toEqual([ids[2]]);
    nowMs += localLimits.cursorLifeMs;
    const next = second.headers.get("fly-next-cursor");
    expect((await page(`limit=1&cursor=${next}`)).status).toBe(200);
    nowMs += 1;
    const dead = await page(`limit=1&cursor=${next}`);
    expect([dead.status, dead.json.error]).toEqual([400, "invalid_argument: cursor has expired"]);
  });

  test("the organisation's: what changed since, what was deleted, page by page", async () => {
    const list = async (query: string) =>
      (await stage.call("GET", `/v1/orgs/local/machines?${query}`)).json;
    const all = (await list("include_deleted=true")).machines.length;
    expect((await list("")).machines.length).toBe(all - 1);
    nowMs += 1_000;
    const sinceText = encodeURIComponent(new Date(nowMs - 1).toISOString());
    expect((await list(`updated_after=${sinceText}`)).machines).toEqual([]);
    const made = (await stage.call("POST", "/v1/apps/app-c/machines", asleep)).json;
    const changed = await list(`updated_after=${sinceText}&state=created&region=iad`);
    expect(changed.machines.map((row: Json) => row.id)).toEqual([made.id]);
    expect(changed).toMatchObject({ last_machine_id: made.id, last_updated_at: made.updated_at });
    const seen = new Set<string>();
    for (let cursor = ""; ;) {
      const part = await list(`limit=3&summary=true&include_deleted=true${cursor}`);
      for (const row of part.machines) seen.add(row.id);
      if (part.next_cursor === "") break;
      cursor = `&cursor=${part.next_cursor}`;
    }
    expect(seen.size).toBe(all + 1);
    expect((await stage.call("GET", "/v1/orgs/local/machines?updated_after=x")).status).toBe(400);
    expect((await stage.call("GET", "/v1/orgs/other/machines")).status).toBe(404);
    stage.server.faults.install({
      faults: [
        {
          call: "GET /v1/orgs/{org}/machines",
          do: { kind: "partial-list", keep: 1, cursor: "short", errorRegions: ["ord"] },
        },
      ],
    });
    const partial = await list("limit=2");
    expect(partial.error_regions).toEqual(["ord"]);
    const rest = await list(`limit=1000&cursor=${partial.next_cursor}`);
    expect(partial.machines.length + rest.machines.length).toBe(all);
    stage.server.faults.clear();
  });
});

test("wait: after an event, and for states that passed since", async () => {
  const { id } = await stage.machine();
  const path = `${machines}/${id}`;
  await stage.reach(id, "started");
  const wait = async (query: string) =>
    (await stage.call("GET", `${path}/wait?timeout=1&${query}`)).status;
  const [{ id: started }] = (await stage.call("GET", `${path}/events?limit=1`)).json;
  expect(await wait(`state=started&from_event_id=${started}`)).toBe(408);
  await stage.call("POST", `${path}/stop`);
  await stage.reach(id, "stopped");
  await stage.call("POST", `${path}/start`);
  await stage.reach(id, "started");
  expect(await wait(`state=stopped&from_event_id=${started}`)).toBe(200);
  expect(await wait("state=settled")).toBe(200);
});

test("old versions are remembered, so many of them", async () => {
  const { id, config } = (await stage.call("POST", machines, asleep)).json;
  const path = `${machines}/${id}`;
  for (let at = 0; at < localLimits.versionsMax + 3; at += 1)
    await stage.call("POST", path, { config, skip_launch: true });
  expect((await stage.call("GET", `${path}/versions`)).json.length).toBe(
    localLimits.versionsMax + 1,
  );
  expect((await stage.call("GET", `${path}?version=none`)).status).toBe(404);
});
