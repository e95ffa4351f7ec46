import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { localLimits } from "../../../src/roles/local/limits.ts";
import { freeze, thaw } from "../../../src/roles/local/process-freeze.ts";
import {
  family,
  identify,
  isAlive,
  isStopped,
  type ProcessIdentity,
  sendSignal,
} from "../../../src/roles/local/process-table.ts";
import { eventually, type Json, openStage, script, type Stage } from "./stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(async () => stage.close(), 60_000);

const machines = "/v1/apps/app-a/machines";
const post = async (id: string, verb: string, body?: unknown) =>
  stage.call("POST", `${machines}/${id}/${verb}`, body);
const read = async (id: string): Promise<Json> =>
  (await stage.call("GET", `${machines}/${id}`)).json;

/** Counts for as long as it runs, in itself and in a session of its own. */
const counter = script(
  "setsid sh -c 'while :; do echo b >> other; sleep 0.02; done' & " +
    "while :; do echo a >> own; sleep 0.02; done",
);

async function counting(config: Record<string, unknown> = {}): Promise<string> {
  const { id } = await stage.machine({ ...counter, ...config });
  await eventually(async () => (await counts(id)).every((count) => count > 1));
  return id;
}

async function counts(id: string): Promise<number[]> {
  const size = async (name: string): Promise<number> => {
    const file = Bun.file(join(stage.dir, "machines", id, name));
    return (await file.exists()) ? file.size : 0;
  };
  return Promise.all([size("own"), size("other")]);
}

test("a suspended machine stands still with all it started, and goes on where it was", async () => {
  const id = await counting();
  expect((await post(id, "suspend")).status).toBe(200);
  await stage.reach(id, "suspended");
  await stage.reach(id, "settled");
  const before = await counts(id);
  await Bun.sleep(100);
  expect(await counts(id)).toEqual(before);
  const suspended = await read(id);
  expect(suspended.events.map((each: Json) => each.status).slice(0, 2)).toEqual([
    "suspended",
    "suspending",
  ]);
  const listed = (await stage.call("GET", `${machines}?state=suspended`)).json;
  expect(listed.map((each: Json) => each.id)).toEqual([id]);
  expect((await post(id, "suspend")).status).toBe(200);
  expect((await post(id, "signal", { signal: "SIGTERM" })).status).toBe(412);

  const started = await post(id, "start");
  expect(started.json.previous_state).toBe("suspended");
  await stage.reach(id, "started");
  await eventually(async () => (await counts(id)).every((count, at) => count > (before[at] ?? 0)));
  expect((await read(id)).version).toBe(suspended.version);
  await stage.call("DELETE", `${machines}/${id}?force=true`);
});

test("stop, update and delete drop what it was suspended with", async () => {
  const stopped = await counting();
  await post(stopped, "suspend");
  await post(stopped, "stop");
  await stage.reach(stopped, "stopped");

  const updated = await counting();
  await post(updated, "suspend");
  const { config, version } = await read(updated);
  const wish = { config, current_version: version, skip_launch: true };
  const answer = await stage.call("POST", `${machines}/${updated}`, wish);
  expect([answer.json.state, answer.json.version === version]).toEqual(["replacing", false]);
  await stage.reach(updated, "stopped");

  const gone = await counting();
  await post(gone, "suspend");
  expect((await stage.call("DELETE", `${machines}/${gone}`)).status).toBe(200);
  for (const id of [stopped, updated, gone]) {
    const before = await counts(id);
    await Bun.sleep(40);
    expect(await counts(id)).toEqual(before);
  }
});

test("what Fly would not suspend is refused", async () => {
  const idle = await stage.machine(counter, { skip_launch: true });
  const large = await counting({
    guest: { cpu_kind: "shared", cpus: 1, memory_mb: localLimits.suspendMemoryMbMax + 256 },
  });
  const scheduled = await counting({ schedule: "daily" });
  const swapping = await counting({ init: { ...(counter["init"] as object), swap_size_mb: 512 } });
  for (const id of [idle.id, large, scheduled, swapping]) {
    const refused = await post(id, "suspend");
    expect(refused.status).toBe(412);
    expect(refused.json.error).toStartWith("failed_precondition: unable to suspend");
    expect((await stage.call("DELETE", `${machines}/${id}?force=true`)).status).toBe(200);
  }
});

test("a machine can suspend itself, and one that is killed meanwhile is stopped", async () => {
  const id = await counting();
  const answer = await fetch(`http://localhost/v1/apps/app-a/machines/${id}/suspend`, {
    method: "POST",
    unix: join(stage.dir, "machines", id, "api"),
  });
  expect(answer.status).toBe(200);
  await stage.reach(id, "suspended");
  const state = await Bun.file(join(stage.dir, "state.json")).json();
  const { process: root, frozen } = state.machines.find((each: Json) => each.id === id);
  expect(frozen.length).toBeGreaterThanOrEqual(2);
  sendSignal(root, "SIGKILL");
  await stage.reach(id, "stopped");
  expect(frozen.some(isAlive)).toBe(false);
});

test("a suspended machine is still that for the next fly-local", async () => {
  const stateDir = join(stage.dir, "two");
  let fly = await openStage({ stateDir });
  try {
    const { id } = await fly.machine(script("while :; do echo a >> own; sleep 0.02; done"));
    const own = join(stateDir, "machines", id, "own");
    await eventually(async () => Bun.file(own).exists());
    await fly.call("POST", `${machines}/${id}/suspend`);
    await fly.server.close({ keepMachines: true });
    fly = await openStage({ stateDir });
    expect((await fly.call("GET", `${machines}/${id}`)).json.state).toBe("suspended");
    const { size } = Bun.file(own);
    await fly.call("POST", `${machines}/${id}/start`);
    await eventually(() => Bun.file(own).size > size);
  } finally {
    await fly.close();
  }
});

test("what was stopped before stays so", async () => {
  const child = Bun.spawn(["/bin/sh", "-c", "sleep 60 & echo $!; wait"], {
    detached: true,
    stdout: "pipe",
  });
  const members = (): ProcessIdentity[] => family(identity(child.pid));
  try {
    const { value } = await child.stdout.getReader().read();
    const job = identity(Number(new TextDecoder().decode(value)));
    const root = identity(child.pid);
    sendSignal(job, "SIGSTOP");
    await eventually(() => isStopped(job));
    const frozen = freeze(root);
    expect(frozen.map(({ pid }) => pid)).toEqual([root.pid]);
    expect(isStopped(root)).toBe(true);
    thaw(frozen);
    await eventually(() => !isStopped(root));
    expect(isStopped(job)).toBe(true);
  } finally {
    for (const member of members()) sendSignal(member, "SIGKILL");
    await child.exited;
  }
});

test("a process that cannot stop just now does not hold up the others", async () => {
  const fifo = join(stage.dir, "fifo");
  Bun.spawnSync(["mkfifo", fifo]);
  const path = join(import.meta.dir, "vfork.child.ts");
  const child = Bun.spawn([process.execPath, path, fifo], { detached: true, stdout: "pipe" });
  const state = async () => (await Bun.file(`/proc/${child.pid}/stat`).text()).split(") ")[1]?.[0];
  try {
    const root = identity(child.pid);
    // It is so for moments while it loads as well, without a child.
    await eventually(async () => (await state()) === "D" && family(root).length === 2);
    const frozen = freeze(root);
    expect(frozen.length).toBe(2);
    expect([isStopped(root), isAlive(root)]).toEqual([false, true]);
    thaw(frozen);
    // Waits until the reader is there.
    await Bun.spawn(["sh", "-c", ': > "$0"', fifo]).exited;
    expect(await child.exited).toBe(0);
    expect(await new Response(child.stdout).text()).toBe("ready\nspawned\n");
  } finally {
    if (child.exitCode === null)
      for (const member of family(identity(child.pid))) sendSignal(member, "SIGKILL");
  }
});

function identity(pid: number): ProcessIdentity {
  const found = identify(pid);
  if (found === undefined) throw new Error(`no process ${pid}`);
  return found;
}
