import { afterAll, beforeAll, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { behaviourOf } from "../../../src/roles/local/behaviour.ts";
import { eventually, type Json, openStage, type Stage } from "./stage.ts";

/** Machines that are records: they change their states in time, and nothing runs. */
let stage: Stage;
beforeAll(async () => {
  stage = await openStage({ simulated: { startMs: 5, checksMs: 15, stopMs: 5 } });
});
afterAll(async () => stage.close(), 60_000);

const machines = "/v1/apps/app-a/machines";
const checks = { up: { type: "tcp", port: 80 } };

async function read(id: string): Promise<Json> {
  return (await stage.call("GET", `${machines}/${id}`)).json;
}

test("200 machines start, pass their checks, are updated and destroyed", async () => {
  const made = await Promise.all(
    Array.from({ length: 200 }, async () => stage.machine({ image: "r/a:v1", checks })),
  );
  await Promise.all(made.map(async ({ id }) => stage.reach(id, "started")));
  await eventually(async () => {
    const { json } = await stage.call("GET", machines);
    return json.every((row: Json) => row.checks[0].status === "passing");
  });
  await Promise.all(
    made.map(async ({ id, config, version }) => {
      const body = { config: { ...config, image: "r/a:v2" }, current_version: version };
      const { json } = await stage.call("POST", `${machines}/${id}`, body);
      expect([json.state, json.version === version]).toEqual(["replacing", false]);
      const wait = `${machines}/${id}/wait?state=started&version=${json.version}`;
      expect((await stage.call("GET", wait)).status).toBe(200);
    }),
  );
  const rows = (await stage.call("GET", `${machines}?state=started`)).json;
  expect(rows.length).toBe(200);
  expect(new Set(rows.map((row: Json) => row.config.image))).toEqual(new Set(["r/a:v2"]));
  await Promise.all(
    made.map(async ({ id }) => stage.call("DELETE", `${machines}/${id}?force=true`)),
  );
  expect((await stage.call("GET", machines)).json).toEqual([]);
});

test("a start and a stop take their time, and checks pass a while after the start", async () => {
  const slow = await openStage({ simulated: { startMs: 60_000, checksMs: 1, stopMs: 1 } });
  try {
    const { id, state } = await slow.machine({ checks });
    const path = `${machines}/${id}`;
    expect(state).toBe("created");
    expect((await slow.call("GET", path)).json.state).toBe("starting");
    await slow.call("DELETE", `${path}?force=true`);
  } finally {
    await slow.close();
  }
  let nowMs = Date.now();
  const times = { startMs: 1, checksMs: 1_000, stopMs: 60_000 };
  const lasting = await openStage({ simulated: times, wallMs: () => nowMs });
  try {
    const { id } = await lasting.machine({ checks, stop_config: { timeout: "60s" } });
    const path = `${machines}/${id}`;
    const now = async () => (await lasting.call("GET", path)).json;
    await lasting.reach(id, "started");
    expect((await now()).checks).toMatchObject([{ name: "up", status: "critical" }]);
    nowMs += 1_000;
    expect((await now()).checks).toMatchObject([{ name: "up", status: "passing" }]);
    await lasting.call("POST", `${path}/stop`);
    expect(await now()).toMatchObject({ state: "stopping", checks: [{ status: "critical" }] });
    await lasting.call("DELETE", `${path}?force=true`);
  } finally {
    await lasting.close();
  }
});

test("bad images: checks that never pass, an exit, no start, no end", async () => {
  const make = async (tag: string, extra: Json = {}) =>
    (await stage.machine({ image: `r/a:${tag}`, checks, ...extra })).id;
  const once = { restart: { policy: "on-failure", max_retries: 2 } };
  const [good, bad, exits, fails, stuck, deaf] = await Promise.all([
    make("v1"),
    make("v2-bad"),
    make("v2-bad-exit", once),
    make("bad-start"),
    make("bad-stuck"),
    make("bad-stop", { stop_config: { timeout: "20ms" } }),
  ]);
  const status = async (id: string) => (await read(id)).checks[0].status;
  await eventually(async () => (await status(good)) === "passing");
  expect([await status(good), await status(bad)]).toEqual(["passing", "critical"]);
  await stage.reach(exits, "stopped");
  const exited = await read(exits);
  const exitCount = exited.events.filter((event: Json) => event.type === "exit").length;
  expect(exitCount).toBe(3);
  expect(exited.events[0].request).toMatchObject({
    exit_event: { exit_code: 1, requested_stop: false, restarting: false },
    restart_count: 2,
  });
  await stage.reach(fails, "failed");
  expect((await read(stuck)).state).toBe("starting");
  await stage.call("POST", `${machines}/${deaf}/stop`);
  await stage.reach(deaf, "stopped");
  expect((await read(deaf)).events[0].request.exit_event.guest_signal).toBe("SIGKILL");
});

test("checks that pass at first, and fail later", async () => {
  let nowMs = Date.now();
  const times = { startMs: 1, checksMs: 1_000, stopMs: 1 };
  const timed = await openStage({ simulated: times, wallMs: () => nowMs });
  try {
    const { id } = await timed.machine({ image: "r/a:bad-later", checks });
    await timed.reach(id, "started");
    const statuses = [];
    for (const afterMs of [0, 1_000, 2_000, 1]) {
      nowMs += afterMs;
      const { json } = await timed.call("GET", `${machines}/${id}`);
      statuses.push(json.checks[0].status);
    }
    expect(statuses).toEqual(["critical", "passing", "passing", "critical"]);
  } finally {
    await timed.close();
  }
});

test("an update to a bad image, and back again", async () => {
  const { id, config } = await stage.machine({ image: "r/a:v1", checks });
  await stage.reach(id, "started");
  const update = async (image: string) =>
    stage.call("POST", `${machines}/${id}`, { config: { ...config, image } });
  await update("r/a:bad-start");
  await stage.reach(id, "failed");
  await update("r/a:v1");
  await stage.reach(id, "started");
  const versions = (await stage.call("GET", `${machines}/${id}/versions`)).json;
  const images = versions.map((row: Json) => row.user_config.image);
  expect(images).toEqual(["r/a:v1", "r/a:bad-start", "r/a:v1"]);
  const first = versions[2].version;
  const old = (await stage.call("GET", `${machines}/${id}?version=${first}`)).json;
  expect([old.state, old.version]).toEqual(["replaced", first]);
  const waited = await stage.call("GET", `${machines}/${id}/wait?version=${first}&timeout=1`);
  expect(waited.status).toBe(408);
  expect(waited.json.error).toContain("currently replaced");
});

test("the behaviour is told by tag, digest or metadata", () => {
  const hex = "0".repeat(60);
  const cases = [
    ["r/a:v1", undefined, "good"],
    ["r/bad", undefined, "good"],
    ["r:5000/a", undefined, "good"],
    ["r/a:badly", undefined, "good"],
    ["r/a:bad", undefined, "bad"],
    ["r/a:v2-bad-exit", undefined, "bad-exit"],
    [`r/a:bad@sha256:${"1".repeat(64)}`, undefined, "bad"],
    [`r/a@sha256:bad0${hex}`, undefined, "bad"],
    [`r/a@sha256:bad1${hex}`, undefined, "bad-exit"],
    [`r/a@sha256:bad5${hex}`, undefined, "bad-later"],
    [`r/a@sha256:bad6${hex}`, undefined, "good"],
    ["r/a:v1", "bad-stuck", "bad-stuck"],
    ["r/a:bad", "good", "good"],
  ] as const;
  for (const [image, word, wanted] of cases) {
    const metadata = word === undefined ? {} : { "fly_local.behaviour": word };
    expect([image, behaviourOf({ image, metadata })]).toEqual([image, wanted]);
  }
});

test("fly-local stopped hard while machines start and are replaced: it goes on with both", async () => {
  const slow = { startMs: 60_000, checksMs: 5, stopMs: 60_000 };
  const first = await openStage({ simulated: slow });
  const starting = (await first.machine()).id;
  const replaced = (await first.machine()).id;
  const config = { image: "r/a:v2" };
  await first.call("POST", `${machines}/${replaced}`, { config });
  await eventually(async () => {
    const { json } = await first.call("GET", machines);
    return json.map((row: Json) => row.state).join() === "starting,replacing";
  });
  await first.server.close({ keepMachines: true });
  const quick = { startMs: 1, checksMs: 1, stopMs: 1 };
  const again = await openStage({ stateDir: first.dir, simulated: quick });
  for (const id of [starting, replaced]) await again.reach(id, "started");
  await again.close();
  rmSync(first.dir, { recursive: true });
});

test("suspended and started again, restarted, kept over a restart of fly-local", async () => {
  const first = await openStage({ simulated: { startMs: 5, checksMs: 5, stopMs: 5 } });
  const { id } = await first.machine();
  await first.reach(id, "started");
  await first.call("POST", `${machines}/${id}/suspend`);
  await first.reach(id, "suspended");
  expect((await first.call("POST", `${machines}/${id}/start`)).json.previous_state).toBe(
    "suspended",
  );
  await first.reach(id, "started");
  expect((await first.call("POST", `${machines}/${id}/restart`)).status).toBe(200);
  await first.reach(id, "started");
  await first.server.close({ keepMachines: true });
  const again = await openStage({
    stateDir: first.dir,
    simulated: { startMs: 5, checksMs: 5, stopMs: 5 },
  });
  expect((await again.call("GET", `${machines}/${id}`)).json.state).toBe("started");
  await again.call("POST", `${machines}/${id}/stop`);
  await again.reach(id, "stopped");
  await again.close();
  rmSync(first.dir, { recursive: true });
});
