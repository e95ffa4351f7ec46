import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { FaultAction, FaultScriptInput } from "../../../src/roles/local/fault-script.ts";
import { localLimits } from "../../../src/roles/local/limits.ts";
import { type Json, openStage, type Reply, type Stage } from "./stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterEach(() => stage.server.faults.clear());
afterAll(async () => stage.close(), 60_000);

const machines = "/v1/apps/app-a/machines";
const create = "POST /v1/apps/{app}/machines";
const list = "GET /v1/apps/{app}/machines";
const read = "GET /v1/apps/{app}/machines/{id}";

type Fault = FaultScriptInput["faults"][number];
type Doing = Fault["do"];

function install(...faults: readonly Fault[]): void {
  stage.server.faults.install({ faults: [...faults] });
}

/** Asleep, so that nothing of it runs. */
async function create1(name?: string): Promise<Reply> {
  return stage.call("POST", machines, { name, skip_launch: true, config: { image: "i" } });
}

async function count(): Promise<number> {
  return (await stage.call("GET", machines)).json.length;
}

async function statusesOf(id: string): Promise<number[]> {
  const statuses = [];
  for (const _ of [1, 2, 3]) statuses.push((await stage.call("GET", `${machines}/${id}`)).status);
  return statuses;
}

/** Which of forty calls a fault with a share of them strikes. */
async function hitsOf(seed: number): Promise<string> {
  const fault: Fault = {
    call: list,
    times: "always",
    share: 0.3,
    do: { kind: "answer", status: 500 },
  };
  stage.server.faults.install({ seed, faults: [fault] });
  let hits = "";
  for (let at = 0; at < 40; at += 1)
    hits += (await stage.call("GET", machines)).status === 500 ? "x" : ".";
  return hits;
}

/** The bytes of an answer, or why there was none. */
async function raw(path: string, signal?: AbortSignal): Promise<string> {
  try {
    const response = await fetch(stage.server.apiBase + path, {
      headers: { authorization: `Bearer ${stage.server.apiToken}` },
      ...(signal === undefined ? {} : { signal }),
    });
    return `${response.status} ${await response.text()}`;
  } catch (error) {
    return error instanceof Error ? error.name : String(error);
  }
}

describe("which call is hit", () => {
  test("the third creation fails after it was carried out; others do not", async () => {
    const before = await count();
    install({ call: create, from: 3, do: { kind: "answer", status: 500, when: "after" } });
    const statuses = [];
    for (let at = 0; at < 4; at += 1) statuses.push((await create1()).status);
    expect(statuses).toEqual([200, 200, 500, 200]);
    expect(await count()).toBe(before + 4);
    expect(stage.server.faults.report()["faults"]).toMatchObject([{ seen: 4, hits: 1 }]);
  });

  test("several times, always, and only one machine, by name or id", async () => {
    const { id } = (await create1("chosen")).json;
    const other = (await create1()).json.id;
    install(
      { call: read, machine: "chosen", times: 2, do: { kind: "answer", status: 503 } },
      { call: read, machine: other, times: "always", do: { kind: "answer", status: 504 } },
      { call: create, machine: "new", do: { kind: "capacity" } },
    );
    expect(await statusesOf(id)).toEqual([503, 503, 200]);
    expect(await statusesOf(other)).toEqual([504, 504, 504]);
    expect((await create1("other-name")).status).toBe(200);
    expect((await create1("new")).status).toBe(422);
  });

  test("a share of the calls, the same ones for the same seed", async () => {
    const first = await hitsOf(7);
    expect(await hitsOf(7)).toBe(first);
    expect(await hitsOf(8)).not.toBe(first);
    expect(first.split("x").length).toBeWithin(5, 25);
  });
});

describe("what is answered", () => {
  const cases: readonly (readonly [string, Doing, number, string])[] = [
    ["a status alone", { kind: "answer", status: 503 }, 503, ""],
    ["a body", { kind: "answer", status: 403, body: { error: "no" } }, 403, '{"error":"no"}'],
    ["a text", { kind: "answer", status: 200, body: "[{" }, 200, "[{"],
    ["HTML", { kind: "html" }, 502, "<html>"],
    ["too often", { kind: "throttle" }, 429, "rate limit"],
    ["no room on the host", { kind: "capacity", status: 409 }, 409, "insufficient resources"],
    ["no room for the volume", { kind: "capacity", status: 412 }, 412, "volume_placement_capacity"],
    ["no room", { kind: "capacity" }, 422, "insufficient_capacity"],
  ];
  test.each(cases)("%s", async (_, action, status, words) => {
    install({ call: list, do: action });
    const text = await raw(machines);
    expect(text).toStartWith(`${status} `);
    expect(text).toContain(words);
    expect(await raw(machines)).toStartWith("200 [");
  });

  test("Retry-After only where it is asked for", async () => {
    install(
      { call: list, do: { kind: "throttle" } },
      { call: list, do: { kind: "throttle", retryAfter: 5 } },
    );
    expect((await stage.call("GET", machines)).headers.get("retry-after")).toBeNull();
    expect((await stage.call("GET", machines)).headers.get("retry-after")).toBe("5");
  });

  test("members of one answer, or of all rows, are replaced", async () => {
    const { id } = (await create1()).json;
    const patch: FaultAction = { kind: "patch", members: { state: "hibernating", config: null } };
    install({ call: read, do: patch }, { call: list, do: patch });
    const wanted = { state: "hibernating", config: null };
    expect((await stage.call("GET", `${machines}/${id}`)).json).toMatchObject({ id, ...wanted });
    for (const row of (await stage.call("GET", machines)).json) expect(row).toMatchObject(wanted);
  });
});

describe("how the answer arrives", () => {
  test("the connection ends, before or after the call was carried out", async () => {
    const before = await count();
    install(
      { call: create, do: { kind: "drop" } },
      { call: create, do: { kind: "drop", when: "after" } },
    );
    expect(create1()).rejects.toThrow();
    expect(await count()).toBe(before);
    expect(create1()).rejects.toThrow();
    expect(await count()).toBe(before + 1);
  });

  test("the body is cut, even to nothing", async () => {
    for (const bytes of [0, 5, localLimits.faultBytesMax]) {
      install({ call: list, do: { kind: "cut", bytes } });
      expect(await raw(machines)).not.toStartWith("200");
    }
  });

  test("never, until the client gives up", async () => {
    install({ call: list, do: { kind: "hang" } });
    const client = new AbortController();
    const answer = raw(machines, client.signal);
    expect(await Promise.race([answer, Bun.sleep(20).then(() => "nothing yet")])).toBe(
      "nothing yet",
    );
    client.abort();
    expect(await answer).toBe("AbortError");
  });

  test("late, slowly, and with more than one wants to read", async () => {
    await create1();
    install(
      { call: list, do: { kind: "delay", ms: 30 } },
      { call: list, do: { kind: "delay", ms: 30, when: "after" } },
      { call: list, do: { kind: "pad", bytes: 1_000 } },
      { call: "GET /v1/apps/{app}", do: { kind: "trickle", everyMs: 1 } },
    );
    for (const _ of [1, 2]) {
      const startMs = performance.now();
      expect(await raw(machines)).toStartWith("200 [");
      expect(performance.now() - startMs).toBeGreaterThan(28);
    }
    expect(await raw(machines)).toEndWith(" ".repeat(1_000));
    expect(JSON.parse((await raw("/v1/apps/app-a")).slice(4))).toMatchObject({ id: "app-a" });
  });
});

test("lists come in part: without a word, with more to come, or the same again", async () => {
  const app = "/v1/apps/app-pages/machines";
  const names = ["a", "b", "c"];
  for (const name of names)
    await stage.call("POST", app, { name, skip_launch: true, config: { image: "i" } });
  const pages = async (): Promise<string[]> => {
    const found: string[] = [];
    for (let query = "?limit=2"; query !== "" && found.length < 6;) {
      const { json, headers } = await stage.call("GET", app + query);
      found.push(json.map((row: Json) => row.name).join(""));
      const next = headers.get("fly-next-cursor");
      query = next === null ? "" : `?limit=2&cursor=${next}`;
    }
    return found;
  };
  expect(await pages()).toEqual(["ab", "c"]);
  const cases = [
    [{ keep: 1 }, ["a"]],
    [{ keep: 1, cursor: "short" }, ["a", "bc"]],
    [{ keep: 0, cursor: "short" }, ["", "ab", "c"]],
    [{ keep: 2, cursor: "repeat" }, ["ab", "ab", "c"]],
  ] as const;
  for (const [how, wanted] of cases) {
    install({ call: list, do: { kind: "partial-list", ...how } });
    expect(await pages()).toEqual([...wanted]);
  }
});

test("a lease is lost or stolen, and a machine vanishes", async () => {
  const { id } = (await create1()).json;
  const cordon = "POST /v1/apps/{app}/machines/{id}/cordon";
  const take = async (): Promise<Record<string, string>> => {
    const { json } = await stage.call("POST", `${machines}/${id}/lease`, { ttl: 60 });
    return { "fly-machine-lease-nonce": json.data.nonce };
  };
  const holder = await take();
  install(
    { call: cordon, do: { kind: "lose-lease" } },
    { call: cordon, do: { kind: "lose-lease", stolen: true } },
    { call: read, do: { kind: "vanish" } },
  );
  expect((await stage.call("POST", `${machines}/${id}/cordon`, {}, holder)).status).toBe(200);
  expect((await stage.call("GET", `${machines}/${id}/lease`)).status).toBe(404);
  const again = await take();
  const refused = await stage.call("POST", `${machines}/${id}/cordon`, {}, again);
  expect(refused.json.message).toContain("held by somebody-else@");
  expect((await stage.call("GET", `${machines}/${id}`)).json.state).toBe("destroyed");
});

test("over HTTP: set, read back, cleared; bad scripts name the member", async () => {
  const path = "/local/v1/faults";
  const fault = { call: list, do: { kind: "html" } };
  const set = await stage.call("POST", path, { seed: 3, faults: [fault] });
  expect(set.status).toBe(200);
  expect((await stage.call("GET", machines).catch(() => undefined))?.status).toBeUndefined();
  const wanted = { call: list, from: 1, times: 1, share: 1, do: { kind: "html", status: 502 } };
  const found = (await stage.call("GET", path)).json;
  expect(found).toMatchObject({ seed: 3, faults: [{ ...wanted, seen: 1, hits: 1 }] });
  expect((await stage.call("DELETE", path)).json.faults).toEqual([]);
  const bad: readonly (readonly [unknown, string])[] = [
    [{}, "faults"],
    [{ faults: [{ ...fault, call: "GET /v1/nothing" }] }, "faults.0.call"],
    [{ faults: [{ ...fault, call: "GET /local/v1/faults" }] }, "faults.0.call"],
    [{ faults: [{ ...fault, do: { kind: "explode" } }] }, "faults.0.do"],
    [{ faults: [{ ...fault, share: 2 }] }, "faults.0.share"],
    [{ faults: [{ ...fault, from: localLimits.faultCountMax + 1 }] }, "faults.0.from"],
    [
      { faults: [{ ...fault, do: { kind: "delay", ms: localLimits.faultMsMax + 1 } }] },
      "faults.0.do.ms",
    ],
    [{ faults: [{ ...fault, surprise: 1 }] }, "faults.0.surprise"],
    [{ faults: Array.from({ length: localLimits.faultsMax + 1 }, () => fault) }, "faults"],
  ];
  for (const [script, words] of bad) {
    const reply = await stage.call("POST", path, script);
    expect([words, reply.status]).toEqual([words, 400]);
    expect(reply.json.error).toContain(`invalid_argument: ${words}`);
  }
});

test("what was called is remembered, with the fault that struck", async () => {
  await stage.call("DELETE", "/local/v1/calls");
  const stop = "POST /v1/apps/{app}/machines/{id}/stop";
  install({ call: stop, do: { kind: "drop" } });
  const { id } = (await create1()).json;
  await stage.call("POST", `${machines}/${id}/stop`).catch(() => undefined);
  const { json } = await stage.call("GET", "/local/v1/calls");
  expect(json).toMatchObject([
    { method: "POST", route: "/v1/apps/{app}/machines", status: 200 },
    { method: "POST", params: { app: "app-a", id }, status: 0, fault: "drop" },
  ]);
});
