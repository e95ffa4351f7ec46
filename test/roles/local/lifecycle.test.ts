import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Host } from "../../../src/roles/local/host.ts";
import { localLimits } from "../../../src/roles/local/limits.ts";
import { identify, isAlive } from "../../../src/roles/local/process-table.ts";
import { eventually, openStage, script, type Stage } from "./stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(async () => stage.close(), 60_000);

const machines = "/v1/apps/app-a/machines";
const lastExit = async (id: string) => {
  const { json } = await stage.call("GET", `${machines}/${id}/events?limit=50`);
  return json.find((each: { type: string }) => each.type === "exit")?.request;
};

/** For a machine that ends when the test says so. */
const untilTold = "until [ -e told ]; do sleep 0.05; done";
const tell = (id: string) => writeFileSync(join(stage.dir, "machines", id, "told"), "");

test("a machine is a process with Fly's environment, its own address, folders and socket", async () => {
  const volume = (await stage.call("POST", "/v1/apps/app-a/volumes", { name: "v" })).json;
  const made = await stage.machine({
    ...script("env; echo; exec sleep 60"),
    env: { ACCESS_TOKEN: "secret", FLY_REGION: "fake", BUN_OPTIONS: "--preload=x" },
    mounts: [{ volume: volume.id, path: "/data" }],
    guest: { cpu_kind: "shared", cpus: 1, memory_mb: 512 },
    stop_config: { timeout: "10s" },
  });
  const dir = join(stage.dir, "machines", made.id);
  let text = "";
  await eventually(async () => {
    text = await stage.log(made.id);
    return text.endsWith("\n\n");
  });
  const env = Object.fromEntries(
    text.split("\n").map((line) => [line.split("=")[0], line.slice(line.indexOf("=") + 1)]),
  );
  expect(env).toMatchObject({
    FLY_APP_NAME: "app-a",
    FLY_MACHINE_ID: made.id,
    FLY_ALLOC_ID: made.id,
    FLY_REGION: "iad",
    PRIMARY_REGION: "iad",
    FLY_PRIVATE_IP: made.private_ip,
    FLY_IMAGE_REF: "registry.fly.io/a/init:1",
    FLY_MACHINE_VERSION: made.version,
    FLY_PROCESS_GROUP: "app",
    FLY_VM_MEMORY_MB: "512",
    ACCESS_TOKEN: "secret",
    HOME: "/root",
    VAULT_STOP_GRACE: "9000ms",
    VAULT_LISTEN: `${made.private_ip}:8443`,
    VAULT_API_SOCKET: join(dir, "api"),
    VAULT_RUN_DIR: join(dir, "run"),
    VAULT_FIREWALL: "off",
    VAULT_DATA_DIR: join(stage.dir, "volumes", volume.id),
  });
  expect(Object.keys(env)).not.toContain("BUN_OPTIONS");
  expect(made.private_ip).toMatch(/^127\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./);
  expect(statSync(join(dir, "api")).mode & 0o777).toBe(0o600);
  expect(statSync(join(stage.dir, "state.json")).mode & 0o777).toBe(0o600);
  const other = await stage.machine();
  expect(other.private_ip).not.toBe(made.private_ip);
});

test("the root disk is wiped at every start, the volume is not", async () => {
  const volume = (await stage.call("POST", "/v1/apps/app-a/volumes", { name: "w" })).json;
  const root = await stage.machine(
    script("touch $VAULT_DATA_DIR/left; ls $VAULT_DATA_DIR; exec sleep 60"),
  );
  const data = await stage.machine({
    ...script("touch $VAULT_DATA_DIR/run-$$; ls $VAULT_DATA_DIR | wc -l; exec sleep 60"),
    mounts: [{ volume: volume.id, path: "/data" }],
  });
  const lines = async (id: string) => (await stage.log(id)).trim().split("\n");
  for (const id of [root.id, data.id]) {
    await eventually(async () => (await lines(id))[0] !== "");
    expect((await stage.call("POST", `${machines}/${id}/restart?signal=SIGKILL`)).status).toBe(200);
    await eventually(async () => (await lines(id)).length === 2);
  }
  expect(await lines(root.id)).toEqual(["left", "left"]);
  expect(await lines(data.id)).toEqual(["1", "2"]);
});

test("stop answers at once, sends the configured signal, and waits for the process", async () => {
  const { id } = await stage.machine({
    ...script(`trap '${untilTold}; exit 7' USR1; echo up; while :; do sleep 0.05; done`),
    stop_config: { signal: "SIGUSR1", timeout: "60s" },
  });
  await eventually(async () => (await stage.log(id)).includes("up"));
  expect((await stage.call("POST", `${machines}/${id}/stop`)).json).toEqual({ ok: true });
  expect((await stage.call("GET", `${machines}/${id}`)).json.state).toBe("stopping");
  tell(id);
  await stage.reach(id, "stopped");
  const exit = (await lastExit(id)).exit_event;
  expect(exit).toMatchObject({ exit_code: 7, requested_stop: true, restarting: false });
});

test("a process that ignores the signal is killed after the grace, with all it started", async () => {
  const { id } = await stage.machine(
    script(
      "trap '' INT TERM; (setsid sh -c 'trap \"\" INT; sleep 61 & wait') & echo $!; wait; sleep 60",
    ),
  );
  await eventually(async () => /\d/.test(await stage.log(id)));
  const child = identify(Number((await stage.log(id)).trim()));
  if (child === undefined) throw new Error("no child");
  const startMs = performance.now();
  await stage.call("POST", `${machines}/${id}/stop`, { timeout: "500ms" });
  await stage.reach(id, "stopped");
  expect(performance.now() - startMs).toBeGreaterThan(450);
  expect(isAlive(child)).toBe(false);
  expect((await lastExit(id)).exit_event.guest_signal).toBe("SIGKILL");
});

test("a machine that is deleted by force takes along what had left its session", async () => {
  const { id } = await stage.machine(script("setsid sleep 62 & echo $!; wait"));
  await eventually(async () => /\d/.test(await stage.log(id)));
  const child = identify(Number((await stage.log(id)).trim()));
  await stage.call("DELETE", `${machines}/${id}?force=true`);
  expect(child !== undefined && !isAlive(child)).toBe(true);
});

test("wait: 408 when the time is over, 400 for a time or state out of range, early for failures", async () => {
  const { id } = await stage.machine(script("exec sleep 60"));
  const wait = async (query: string) => stage.call("GET", `${machines}/${id}/wait?${query}`);
  const startMs = performance.now();
  const late = await wait("state=stopped&timeout=1");
  expect(late.status).toBe(408);
  expect(late.json.error).toStartWith("deadline_exceeded");
  expect(performance.now() - startMs).toBeGreaterThan(990);
  expect((await wait("state=stopped&timeout=0")).status).toBe(400);
  expect((await wait("state=stopped&timeout=61")).status).toBe(400);
  expect((await wait("state=odd")).status).toBe(400);
  expect((await wait("state=stopped,started")).json.state).toBe("started");
  expect((await wait("state=settled")).status).toBe(200);
  expect((await wait("state=started&version=other&timeout=1")).status).toBe(408);
});

test("start is refused while the machine stops, and harmless while it runs", async () => {
  const { id } = await stage.machine(
    script(`trap '${untilTold}; exit 0' INT; echo up; while :; do sleep 0.05; done`),
  );
  const start = async () => stage.call("POST", `${machines}/${id}/start`);
  expect((await start()).json.previous_state).toBe("started");
  await eventually(async () => (await stage.log(id)).includes("up"));
  await stage.call("POST", `${machines}/${id}/stop`, { timeout: "60s" });
  expect((await start()).status).toBe(412);
  tell(id);
  await stage.reach(id, "stopped");
  expect((await start()).json.previous_state).toBe("stopped");
  await stage.reach(id, "started");
});

test("restart policies: on-failure by default, no, always; stop ends a restart loop", async () => {
  const failing = await stage.machine(script("echo run; exit 3"));
  const clean = await stage.machine(script("exit 0"));
  const never = await stage.machine({ ...script("exit 3"), restart: { policy: "no" } });
  const always = await stage.machine({
    ...script("echo run; exit 0"),
    restart: { policy: "always" },
  });
  await stage.reach(clean.id, "stopped");
  await stage.reach(never.id, "stopped");
  for (const { id } of [failing, always]) {
    await eventually(async () => (await stage.log(id)).split("run").length > 2);
    await stage.call("POST", `${machines}/${id}/stop`);
    await stage.reach(id, "stopped");
  }
  expect((await lastExit(failing.id)).exit_event.exit_code).toBe(3);
  const few = await stage.machine({
    ...script("exit 1"),
    restart: { policy: "on-failure", max_retries: 1 },
  });
  await stage.reach(few.id, "stopped");
  expect((await lastExit(few.id)).restart_count).toBe(1);
}, 120_000);

test("delete needs a stopped machine or force, and leaves nothing on disk", async () => {
  const { id } = await stage.machine({ ...script("exec sleep 60"), auto_destroy: false });
  expect((await stage.call("DELETE", `${machines}/${id}`)).status).toBe(412);
  expect((await stage.call("DELETE", `${machines}/${id}?force=true`)).status).toBe(200);
  expect(existsSync(join(stage.dir, "machines", id))).toBe(false);
  expect((await stage.call("GET", `${machines}/${id}`)).json.state).toBe("destroyed");
  const ids = (await stage.call("GET", machines)).json.map((each: { id: string }) => each.id);
  expect(ids).not.toContain(id);
  const all = (await stage.call("GET", `${machines}?include_deleted=true`)).json;
  expect(all.map((each: { id: string }) => each.id)).toContain(id);
  const once = await stage.machine({ ...script("exit 0"), auto_destroy: true });
  await stage.reach(once.id, "destroyed");
});

test("update gives a new version, and a started machine begins anew with it", async () => {
  const made = await stage.machine(script("echo one; exec sleep 60"));
  const path = `${machines}/${made.id}`;
  const config = { image: "registry.fly.io/a/init:2", ...script("echo two; exec sleep 60") };
  const stale = await stage.call("POST", path, { config, current_version: "x" });
  expect(stale.status).toBe(409);
  const updated = await stage.call("POST", path, { config, current_version: made.version });
  expect(updated.json.version).not.toBe(made.version);
  await eventually(async () => (await stage.log(made.id)).includes("two"));
  const remount = { config: { ...config, mounts: [{ volume: "vol_x", path: "/data" }] } };
  expect((await stage.call("POST", path, remount)).status).toBe(400);
});

test("an update starts a machine that was not, unless it is to skip that; nothing revives a destroyed one", async () => {
  const config = { image: "registry.fly.io/a/init:2", ...script("exec sleep 60") };
  const made = await stage.machine(script("exec sleep 60"), { skip_launch: true });
  const path = `${machines}/${made.id}`;
  const update = async (extra: Record<string, unknown>) =>
    stage.call("POST", path, { config, ...extra });
  expect((await update({ skip_launch: true })).json.state).toBe("created");
  expect((await update({})).json.state).toBe("replacing");
  await stage.reach(made.id, "started");
  await stage.call("POST", `${path}/stop`);
  await stage.reach(made.id, "stopped");
  expect((await update({ skip_launch: true })).json.state).toBe("stopped");
  await stage.call("DELETE", path);
  expect((await update({})).status).toBe(412);
  expect((await stage.call("GET", path)).json.state).toBe("destroyed");
});

test("a command that does not exist fails the machine, and says so", async () => {
  const broken = await openStage({ entrypoint: ["/nonexistent/init"] });
  try {
    const made = await broken.machine();
    await broken.reach(made.id, "failed");
    const [event] = (await broken.call("GET", `${machines}/${made.id}/events`)).json;
    expect(event).toMatchObject({ type: "launch", status: "failed" });
  } finally {
    await broken.close();
  }
});

test("signals reach the main process; a stopped machine takes none", async () => {
  const { id } = await stage.machine(
    script("trap 'echo got' USR2; echo up; while :; do sleep 0.05; done"),
  );
  await eventually(async () => (await stage.log(id)).includes("up"));
  const signal = async (name: string) =>
    (await stage.call("POST", `${machines}/${id}/signal`, { signal: name })).status;
  expect(await signal("SIGUSR2")).toBe(200);
  await eventually(async () => (await stage.log(id)).includes("got"));
  expect(await signal("SIGWINCH")).toBe(400);
  await stage.call("POST", `${machines}/${id}/stop`, { signal: "SIGKILL" });
  await stage.reach(id, "stopped");
  expect(await signal("SIGTERM")).toBe(412);
});

test("events stay within their limit, newest first", async () => {
  const { id } = await stage.machine(script("exec sleep 60"));
  for (let round = 0; round < 18; round += 1) {
    await stage.call("POST", `${machines}/${id}/restart?signal=SIGKILL`);
  }
  const state = JSON.parse(readFileSync(join(stage.dir, "state.json"), "utf8"));
  const record = state.machines.find((each: { id: string }) => each.id === id);
  expect(record.events.length).toBe(localLimits.eventsMax);
  const all = (await stage.call("GET", `${machines}/${id}/events?limit=50`)).json;
  const times = all.map((each: { timestamp: number }) => each.timestamp);
  expect(times).toEqual(times.toSorted((a: number, b: number) => b - a));
  const byDefault = (await stage.call("GET", `${machines}/${id}/events`)).json;
  expect(byDefault.length).toBe(localLimits.eventsDefault);
  expect((await stage.call("GET", `${machines}/${id}/events?limit=51`)).status).toBe(400);
}, 120_000);

test("a log above its limit is emptied in place, and the machine writes on", async () => {
  const { id } = await stage.machine(script("while :; do echo line; sleep 0.02; done"));
  const path = join(stage.dir, "machines", id, "log");
  writeFileSync(path, Buffer.alloc(localLimits.logBytesMax + 1, 0x61), { flag: "a" });
  const trim = Host.prototype.trimLog.bind({
    logPath: () => path,
    log: () => undefined,
  });
  trim(id);
  expect(statSync(path).size).toBeLessThan(10_000);
  expect(statSync(`${path}.1`).size).toBeGreaterThan(localLimits.logBytesMax);
  await eventually(async () => (await stage.log(id)).includes("line"));
  expect((await stage.log(id)).charCodeAt(0)).not.toBe(0);
});

test("a machine that destroys itself lets go of its volume", async () => {
  const volumes = "/v1/apps/app-a/volumes";
  const volume = (await stage.call("POST", volumes, { name: "left" })).json.id;
  const mounts = [{ volume, path: "/data" }];
  const { id } = await stage.machine({ ...script("exit 0"), auto_destroy: true, mounts });
  await stage.reach(id, "destroyed");
  const left = (await stage.call("GET", `${volumes}/${volume}`)).json;
  expect(left.attached_machine_id).toBeNull();
  expect((await stage.call("DELETE", `${volumes}/${volume}`)).status).toBe(200);
});

test("moved to another host: the volume's bytes under a new id, a new address, made again", async () => {
  const volumes = "/v1/apps/app-a/volumes";
  const volume = (await stage.call("POST", volumes, { name: "moved" })).json.id;
  const words =
    "cat $VAULT_DATA_DIR/kept; echo word > $VAULT_DATA_DIR/kept; echo up; exec sleep 60";
  const mounts = [{ volume, path: "/data" }];
  const made = await stage.machine({ ...script(words), mounts });
  await eventually(async () => (await stage.log(made.id)).includes("up"));
  const path = `/local/v1/apps/app-a/machines/${made.id}/migrate`;
  expect((await stage.call("POST", path)).status).toBe(200);
  await eventually(async () => (await stage.log(made.id)).includes("word\nup"));
  const moved = (await stage.call("GET", `${machines}/${made.id}`)).json;
  const fork = moved.config.mounts[0].volume;
  expect([moved.state, moved.version]).toEqual(["started", made.version]);
  expect([fork === volume, moved.private_ip === made.private_ip]).toEqual([false, false]);
  expect(moved.events.slice(0, 3)).toMatchObject([
    { type: "start", status: "started" },
    { type: "start", status: "starting", source: "flyd" },
    { type: "launch", status: "created", source: "flyd" },
  ]);
  const rows = (await stage.call("GET", volumes)).json;
  const states = [volume, fork].map((wanted) => {
    const row = rows.find((each: { id: string }) => each.id === wanted);
    return [row.state, row.attached_machine_id];
  });
  expect(states).toEqual([
    ["pending_destroy", null],
    ["created", made.id],
  ]);
});
