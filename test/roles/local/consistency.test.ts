import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { localLimits } from "../../../src/roles/local/limits.ts";
import { Replicas } from "../../../src/roles/local/replicas.ts";
import { type Json, openStage, type Reply, type Stage } from "./stage.ts";

/** What a client sees of another client's write, and for how long it does not. */
let nowMs = Date.now();
let stage: Stage;
beforeAll(async () => {
  stage = await openStage({
    lagMs: 1_000,
    simulated: { startMs: 1, checksMs: 1, stopMs: 1 },
    wallMs: () => nowMs,
  });
});
afterAll(async () => stage.close(), 60_000);

const machines = "/v1/apps/app-a/machines";
const volumes = "/v1/apps/app-a/volumes";
const wish = { skip_launch: true, config: { image: "i" } };

const record = (id: string) => ({ id, createdAtMs: 0, value: 0 });

function cookieOf(reply: Reply): Record<string, string> {
  const [line = ""] = reply.headers.getSetCookie();
  const [pair = ""] = line.split(";");
  return { cookie: pair };
}

function otherThan({ cookie = "" }: Record<string, string>): Record<string, string> {
  return { cookie: cookie.endsWith("0") ? cookie.replace("0", "1") : cookie.replace("1", "0") };
}

test("a write is seen at once with its cookie, and after the lag by everybody", async () => {
  const made = await stage.call("POST", machines, wish);
  const own = cookieOf(made);
  const other = otherThan(own);
  const { id } = made.json;
  const path = `${machines}/${id}`;
  const ids = async (who: Record<string, string>) =>
    (await stage.call("GET", machines, undefined, who)).json.map((row: Json) => row.id);
  expect(await ids(own)).toContain(id);
  expect(await ids(other)).not.toContain(id);
  for (const call of [path, `${path}/events`, `${path}/metadata`, `${path}/wait?timeout=1`])
    expect((await stage.call("GET", call, undefined, other)).status).toBe(404);
  nowMs += 1_000;
  expect(await ids(other)).toContain(id);
  await stage.call("POST", `${path}/cordon`, {}, other);
  const cordoned = async (who: Record<string, string>) =>
    (await stage.call("GET", path, undefined, who)).json.cordoned;
  expect([await cordoned(other), await cordoned(own)]).toEqual([true, false]);
  await stage.call("DELETE", path, undefined, own);
  expect(await ids(own)).not.toContain(id);
  expect(await ids(other)).toContain(id);
  nowMs += 1_000;
  expect(await ids(other)).not.toContain(id);
});

test("without a cookie each call may come to another instance", async () => {
  const { id } = (await stage.call("POST", machines, wish)).json;
  const statuses = [];
  for (const _ of [1, 2, 3, 4])
    statuses.push((await stage.call("GET", `${machines}/${id}`)).status);
  expect(statuses).toEqual([404, 200, 404, 200]);
});

test("volumes lag too, and who attaches one sees it attached", async () => {
  const made = await stage.call("POST", volumes, { name: "data" });
  const own = cookieOf(made);
  const path = `${volumes}/${made.json.id}`;
  expect((await stage.call("GET", path, undefined, otherThan(own))).status).toBe(404);
  expect((await stage.call("GET", volumes, undefined, otherThan(own))).json).toEqual([]);
  const mounts = [{ volume: made.json.id, path: "/data" }];
  const body = { skip_launch: true, config: { image: "i", mounts } };
  const { id } = (await stage.call("POST", machines, body, own)).json;
  const seen = (await stage.call("GET", path, undefined, own)).json;
  expect(seen.attached_machine_id).toBe(id);
});

test("a list of old news, from the moment the script was set", async () => {
  const plain = await openStage({
    wallMs: () => nowMs,
    simulated: { startMs: 1, checksMs: 1, stopMs: 1 },
  });
  try {
    const before = (await plain.call("POST", machines, wish)).json.id;
    const list = "GET /v1/apps/{app}/machines";
    nowMs += 600;
    plain.server.faults.install({
      faults: [{ call: list, times: 2, do: { kind: "stale", ms: 500 } }],
    });
    nowMs += 10;
    const after = (await plain.call("POST", machines, wish)).json.id;
    await plain.call("DELETE", `${machines}/${before}`);
    const ids = async () => (await plain.call("GET", machines)).json.map((row: Json) => row.id);
    expect(await ids()).toEqual([before]);
    nowMs += 500;
    expect(await ids()).toEqual([after]);
    expect(await ids()).toEqual([after]);
  } finally {
    await plain.close();
  }
});

describe("the memory of what was", () => {
  const reader = { instance: 1, agoMs: 100 };

  test("copies of one record, and records, are limited", () => {
    let atMs = 0;
    const replicas = new Replicas<ReturnType<typeof record>>({ lagMs: 1e9, nowMs: () => atMs });
    const first = record("first");
    for (atMs = 0; atMs <= localLimits.replicaCopiesMax; atMs += 1) {
      first.value = atMs;
      replicas.note(first);
    }
    // Its first copy is gone, so that nothing is known of that time.
    atMs = 1e9;
    expect(replicas.seen(first, reader)).toBeUndefined();
    atMs = 1e9 + 1;
    expect(replicas.seen(first, reader)?.value).toBe(1);
    for (let at = 0; at < localLimits.replicaRecordsMax; at += 1) replicas.note(record(`r${at}`));
    expect(replicas.seen(first, reader)?.value).toBe(localLimits.replicaCopiesMax);
  });

  test("is given up when nobody wants it any more", () => {
    const replicas = new Replicas<ReturnType<typeof record>>({ lagMs: 0, nowMs: () => 1_000 });
    const one = record("one");
    replicas.keep(500, [one]);
    one.value = 1;
    replicas.note(one);
    expect(replicas.seen(one, reader)?.value).toBe(0);
    replicas.keep(0, [one]);
    expect(replicas.seen(one, reader)?.value).toBe(1);
  });
});
