import { afterEach, expect, test } from "bun:test";
import { MachinesApiError } from "../../src/fly/api-error.ts";
import { apiLimits } from "../../src/fly/api-limits.ts";
import { isMachineGone, isVolumeGone } from "../../src/fly/machine-shape.ts";
import { rejection } from "../support/rejection.ts";
import { json, machineJson, scriptApi, type ScriptedApi } from "./scripted-api.ts";

const open: ScriptedApi[] = [];
const script = (...given: Parameters<typeof scriptApi>): ScriptedApi => {
  const scripted = scriptApi(...given);
  open.push(scripted);
  return scripted;
};
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

const id = "148e21ea7e46e8";
const timeout = () => json({ error: "deadline_exceeded" }, { status: 408 });
const page = (rows: unknown, cursor?: string) =>
  json(rows, { headers: cursor === undefined ? {} : { "fly-next-cursor": cursor } });

test("lists follow the cursor to the end, through empty pages", async () => {
  const { api, seen } = script([
    page([machineJson({ id: "a1" })], "one"),
    page([], "two"),
    page([machineJson({ id: "b2" })]),
  ]);
  expect((await api.listMachines()).map((each) => each.id)).toEqual(["a1", "b2"]);
  expect(seen.map(({ query }) => query.get("cursor"))).toEqual([null, "one", "two"]);
});

test("summaries are asked for a thousand at a time, and odd rows do not hide the others", async () => {
  const { api, seen } = script([
    page([machineJson({ id: "a1", private_ip: null }), { id: "b2" }, null, 7], "one"),
    page([machineJson({ id: "c3", private_ip: "fdaa::3", image_ref: 5 })]),
  ]);
  const pages = await Array.fromAsync(api.listSummaries());
  expect(pages.map(({ machines }) => machines.map((each) => each.id))).toEqual([["a1"], ["c3"]]);
  expect(pages.map(({ unreadable }) => unreadable)).toEqual([3, 0]);
  // All pages of a large app are in memory at once: nothing else of a row may be.
  expect(pages[1]?.machines).toStrictEqual([{ id: "c3", state: "started", private_ip: "fdaa::3" }]);
  expect(seen[1]?.query.toString()).toBe("limit=1000&summary=true&cursor=one");
});

test("a list whose second page cannot be had is no list", async () => {
  const missing = json({ error: "invalid_argument: cursor" }, { status: 400 });
  const { api } = script([page([machineJson()], "one"), missing]);
  expect(Array.fromAsync(api.listSummaries())).rejects.toThrow("cursor");
});

test("a list that is none is an error", () => {
  const { api } = script([json({ machines: [] })]);
  expect(Array.fromAsync(api.listSummaries())).rejects.toThrow("unexpected answer");
});

test("a cursor that repeats ends the list with an error, not with an endless loop", async () => {
  const { api, seen } = script([page([], "one")]);
  expect(api.listVolumes()).rejects.toThrow("do not end");
  await Bun.sleep(20);
  expect(seen.length).toBe(2);
});

test("waitForState asks again after 408, for at most a minute at a time", async () => {
  const starting = json(machineJson({ state: "starting" }));
  const { api, seen } = script([
    timeout(),
    starting,
    timeout(),
    starting,
    json({ ok: true, state: "started" }),
    json(machineJson()),
  ]);
  const machine = await api.waitForState(id, { state: "started", version: "V1" }, 120_000);
  expect(machine.state).toBe("started");
  const [first] = seen;
  expect(first?.path).toEndWith(`/machines/${id}/wait`);
  expect(first?.query.get("version")).toBe("V1");
  expect(Number(first?.query.get("timeout"))).toBeLessThanOrEqual(apiLimits.waitSecondsMax);
});

test("waitForState ends early when the machine went another way", async () => {
  const { api, seen } = script([timeout(), json(machineJson({ state: "stopped" }))]);
  const wanted = { state: "started", failures: ["stopped", "failed"] } as const;
  expect(api.waitForState(id, wanted, 600_000)).rejects.toThrow("is stopped");
  await Bun.sleep(30);
  expect(seen[0]?.query.get("state")).toBe("started,failed");
});

const at = (version: string, state: string) => json(machineJson({ version, state }));

test("waitForState is not content with the state of another version", async () => {
  const { api } = script([
    timeout(),
    at("V0", "started"),
    timeout(),
    at("V0", "failed"),
    timeout(),
    at("V1", "started"),
  ]);
  const wanted = { state: "started", version: "V1", failures: ["failed"] } as const;
  expect((await api.waitForState(id, wanted, 120_000)).version).toBe("V1");
});

test("waitForState takes a machine that is not there yet for one that comes", async () => {
  const missing = json({ error: "not found" }, { status: 404 });
  const { api } = script([missing, missing, json({ ok: true }), json(machineJson())]);
  expect((await api.waitForState(id, { state: "started" }, 60_000)).id).toBe(id);
  const never = script([missing]);
  expect(never.api.waitForState(id, { state: "started" }, 120_000)).rejects.toThrow("not found");
});

test("waitForState goes on when the look at the machine comes to nothing, until its deadline", async () => {
  const done = json({ ok: true });
  const cut = new Response('{"id":"148');
  const missing = json({ error: "not found" }, { status: 404 });
  const { api } = script([done, cut, done, missing, done, json(machineJson())]);
  expect((await api.waitForState(id, { state: "started" }, 60_000)).id).toBe(id);
  const never = script([
    (request) => (request.path.endsWith("/wait") ? json({ ok: true }) : new Response("{")),
  ]);
  expect(never.api.waitForState(id, { state: "started" }, 60_000)).rejects.toThrow("not JSON");
  const denied = script([done, json({ error: "no" }, { status: 403 })]);
  expect(denied.api.waitForState(id, { state: "started" }, 60_000)).rejects.toThrow("no");
});

test("waitForState ends at its own deadline and says what state it saw", async () => {
  let nowMs = 0;
  const scripted = script([
    (request) => {
      nowMs += 1;
      return request.path.endsWith("/wait") ? timeout() : json(machineJson({ state: "starting" }));
    },
  ]);
  const error = await scripted.api
    .waitForState(id, { state: "started" }, 5_000)
    .catch((problem: unknown) => problem);
  expect(error).toBeInstanceOf(MachinesApiError);
  expect(String(error)).toContain("is starting after");
  expect(nowMs).toBeGreaterThan(5);
});

test("start: 200 with status error is an error all the same", async () => {
  const { api } = script([json({ status: "error", message: "no room on host" })]);
  expect(api.startMachine(id)).rejects.toThrow("no room on host");
});

test("deleting what is gone is done; the lease's nonce travels with every change", async () => {
  const { api, seen } = script([json({ error: "not found" }, { status: 404 }), json({ ok: true })]);
  await api.deleteMachine(id, { leaseNonce: "n1" });
  expect(seen[0]?.query.get("force")).toBe("true");
  expect(seen[0]?.headers.get("fly-machine-lease-nonce")).toBe("n1");
  await api.stopMachine(id, { leaseNonce: "n2" });
  expect(seen[1]?.headers.get("fly-machine-lease-nonce")).toBe("n2");
});

test("nulls, missing config and unknown states are taken as they come", async () => {
  const odd = { id, state: "hibernating", name: null, config: null, incomplete_config: {} };
  const { api } = script([json([odd])]);
  const [machine] = await api.listMachines();
  expect(machine?.state).toBe("hibernating");
  expect(isMachineGone({ id, state: "destroyed" })).toBe(true);
  expect(isVolumeGone({ id: "vol_1", state: "pending_destroy" })).toBe(true);
  expect(isVolumeGone({ id: "vol_1", state: "created" })).toBe(false);
});

test("an update carries its version and the lease, and is sent once whatever comes of it", async () => {
  const { api, seen } = script([
    json(machineJson({ version: "V2" })),
    json({ error: "no idea" }, { status: 500 }),
  ]);
  const wish = { config: { image: "i" }, current_version: "V1", skip_launch: true };
  expect((await api.updateMachine(id, wish, { leaseNonce: "n1" })).version).toBe("V2");
  expect(JSON.parse(seen[0]?.body ?? "")).toEqual(wish);
  expect(seen[0]?.headers.get("fly-machine-lease-nonce")).toBe("n1");
  const lost = await api.updateMachine(id, wish).catch((problem: unknown) => problem);
  expect(lost).toMatchObject({ isOutcomeUnknown: true });
  expect(seen.length).toBe(2);
});

test("a lease's nonce is found in Fly's answer, and in that of Fly's description", async () => {
  const { api, seen } = script([
    json({ status: "success", data: { nonce: "n1", owner: "o" } }, { status: 201 }),
    json({ nonce: "n2", owner: "o" }, { status: 201 }),
    json({ status: "success" }, { status: 201 }),
  ]);
  expect(await api.takeLease(id, 120)).toBe("n1");
  expect(JSON.parse(seen[0]?.body ?? "")).toEqual({ ttl: 120 });
  expect(await api.takeLease(id, 120)).toBe("n2");
  const odd = await api.takeLease(id, 120).catch((problem: unknown) => problem);
  expect(odd).toMatchObject({ kind: "malformed" });
});

test("metadata is merged, and again after an answer was lost; deleted machines are listed when asked", async () => {
  const { api, seen } = script([
    new Response(null, { status: 504 }),
    new Response(null, { status: 204 }),
    json([machineJson({ state: "destroyed" })]),
  ]);
  await api.changeMetadata(id, { a: "1", b: null });
  expect(seen.map(({ method }) => method)).toEqual(["PATCH", "PATCH"]);
  expect(JSON.parse(seen[1]?.body ?? "")).toEqual({ metadata: { a: "1", b: null } });
  expect((await api.listMachines({}, ["include_deleted"])).length).toBe(1);
  expect(seen[2]?.query.get("include_deleted")).toBe("true");
});

test("a list in another form, such as the organisation's with regions that did not answer, is no list", async () => {
  const { api } = script([json({ machines: [machineJson()], error_regions: ["ord"] })]);
  expect(await rejection(api.listMachines())).toMatchObject({ kind: "malformed" });
});

test("what a command in a machine says is read so far, and asked for once", async () => {
  const long = "x".repeat(apiLimits.execAnswerBytesMax);
  const { api, seen, slept } = script([
    json({ exit_code: 0, stdout: long }),
    json({ error: "slow down" }, { status: 429, headers: { "retry-after": "30" } }),
    json({}),
  ]);
  const run = async () => api.executeIn("148e21ea7e46e8", ["init", "log"], 5);
  expect(await rejection(run())).toMatchObject({ kind: "malformed" });
  expect(await rejection(run())).toMatchObject({ kind: "rate-limited" });
  // What is left out is a good end and no words.
  expect(await run()).toEqual({ exit_code: 0, exit_signal: 0, stdout: "", stderr: "" });
  expect([seen.length, slept]).toEqual([3, []]);
});
