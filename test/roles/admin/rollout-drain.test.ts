import { afterEach, expect, test } from "bun:test";
import { join } from "node:path";
import { Drain } from "../../../src/roles/admin/rollout-drain.ts";
import { rolloutLimits } from "../../../src/roles/admin/rollout-limits.ts";
import { countSessions } from "../../../src/roles/admin/machine-report.ts";
import { type RolloutApi, RolloutFleet } from "../../../src/roles/admin/rollout-fleet.ts";
import { MachinesApiError } from "../../../src/fly/api-error.ts";
import { FrameStream } from "../../../src/protocol/frame.ts";
import { selfCommand } from "../../../src/system/self.ts";
import { connectUnix } from "../../../src/system/tcp-stream.ts";
import { makeBusyboxRootfs } from "../../support/busybox-rootfs.ts";
import { TestClient } from "../init/test-client.ts";
import { type FleetStage, images, leftovers, openFleetStage } from "./fleet-stage.ts";
import { type AdminStage, app, openAdminStage } from "./stage.ts";

let closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing) await close();
  closing = [];
}, 120_000);

async function fleet(): Promise<FleetStage> {
  const on = await openFleetStage();
  closing.push(async () => on.close());
  return on;
}

const key = "fly_local.open_sessions";
const quick = ["--image", images.new, "--all-tenants", "--soak-secs", "0"];

async function setSessions(on: FleetStage, id: string, count: number): Promise<void> {
  const path = `${on.fly.apiBase}/v1/apps/${app}/machines/${id}/metadata/${key}`;
  const headers = { authorization: `Bearer ${on.fly.apiToken}` };
  const body = JSON.stringify({ value: String(count) });
  expect((await fetch(path, { method: "POST", headers, body })).status).toBe(204);
}

test("the plan names the machines with open sessions, and those that do not say", async () => {
  const on = await fleet();
  const busy = await on.create("a", { metadata: { [key]: "3" } });
  await on.create("b");
  const mute = await on.create("c", { metadata: { "fly_local.behaviour": "bad-exit" } });
  const plan = await on.admin(...quick, "--dry-run");
  expect(plan.out).toContain(`open sessions on 1 machine, the update ends them: ${busy} (3)\n`);
  const drained = await on.admin(...quick, "--dry-run", "--drain", "10m");
  expect(drained.out).toContain(`waited for, 10 m 00 s at most: ${busy} (3)\n`);
  const json = JSON.parse((await on.admin(...quick, "--dry-run", "--json")).out) as unknown;
  expect(json).toMatchObject({
    drain_ms: 0,
    open_sessions: [{ machine_id: busy, sessions: 3 }],
  });
  // It restarts all the time, so whether it runs just now is chance.
  expect(JSON.stringify(json).includes(mute)).toBe(true);
});

test("a drain waits until the last session is over, then updates", async () => {
  const on = await fleet();
  const id = await on.create("a", { metadata: { [key]: "1" } });
  const { context, exit } = on.start([...quick, "--drain", "1m", "--json"]);
  while (!context.out().includes('"step":"drain"')) await Bun.sleep(10);
  const [before] = await on.machines();
  expect([before?.config.image, before?.cordoned]).toEqual([images.old, false]);
  await setSessions(on, id, 0);
  expect(await exit).toBe(0);
  expect(context.out()).not.toContain('"type":"cut"');
  expect(context.out()).toContain('"sessions_cut":0');
  expect(leftovers(await on.machines())).toEqual([]);
}, 120_000);

test("a drain that is over goes on and says how many it ended; nothing waits for those that do not say", async () => {
  const on = await fleet();
  const id = await on.create("a", { metadata: { [key]: "2" } });
  const done = await on.admin(...quick, "--drain", "300ms");
  expect([done.exitCode, done.err]).toEqual([
    0,
    expect.stringContaining(`machine ${id} (a, ord) goes on with 2 open sessions after 0.3 s`),
  ]);
  expect(done.out).toContain("1 updated");
  expect(done.out).toContain("2 open sessions ended by it");
  on.fly.faults.install({
    faults: [
      {
        call: "POST /v1/apps/{app}/machines/{id}/exec",
        times: "always",
        do: { kind: "answer", status: 403, body: { error: "not allowed" } },
      },
    ],
  });
  const back = ["--image", images.old, "--all-tenants", "--soak-secs", "0", "--drain", "1h"];
  const again = await on.admin(...back);
  expect([again.exitCode, again.out]).toEqual([
    0,
    expect.stringContaining("1 machine did not say what is open there, not waited for"),
  ]);
  expect(again.err).toContain("goes on without knowing of its sessions");
}, 120_000);

test("of a machine that failed the last log lines are shown, before it goes back", async () => {
  const on = await fleet();
  const id = await on.create("a");
  const sick = [
    "--image",
    images.sick,
    "--all-tenants",
    "--soak-secs",
    "0",
    "--health-timeout-secs",
    "1",
  ];
  const done = await on.admin(...sick);
  expect([done.exitCode, done.err]).toEqual([
    8,
    expect.stringContaining(`log of machine ${id}:\n    {"event":"simulated","behaviour":"bad"}\n`),
  ]);
  const json = await on.admin(...sick, "--json");
  expect(json.out).toContain(`{"type":"log","machine_id":"${id}","lines":[`);
}, 120_000);

test("a machine whose log hangs: Ctrl-C twice ends it all the same, with the words to go on", async () => {
  const on = await fleet();
  await on.create("a");
  const call = "POST /v1/apps/{app}/machines/{id}/exec";
  on.fly.faults.install({
    faults: [{ call, from: 2, times: "always", do: { kind: "hang" } }],
  });
  const sick = ["--image", images.sick, "--all-tenants", "--soak-secs", "0"];
  const { context, exit } = on.start([...sick, "--health-timeout-secs", "1"]);
  while (!context.err().includes("failed: did not become healthy")) await Bun.sleep(10);
  const before = performance.now();
  context.stop("SIGINT");
  context.stop("SIGINT");
  expect([await exit, context.err()]).toEqual([
    130,
    expect.stringContaining(`interrupted; fly-vault-admin tenant update-image --resume`),
  ]);
  // By itself the call would give up after half a minute.
  expect(performance.now() - before).toBeLessThan(20_000);
  on.fly.faults.clear();
  const [id = ""] = on.journals();
  expect((await on.admin("--resume", id)).exitCode).toBe(8);
  expect(leftovers(await on.machines())).toEqual([]);
}, 120_000);

test("a machine whose log hangs keeps its lease, and goes back when that is given up", async () => {
  const renewed: string[] = [];
  const log = Promise.withResolvers<never>();
  const fleetOf = new RolloutFleet({
    api: {
      ...unused,
      executeIn: async () => log.promise,
      takeLease: async (id, _, options) => {
        renewed.push(`${id} ${options?.leaseNonce}`);
        return "nonce";
      },
      releaseLease: async () => undefined,
    },
    rollout: { id: "r-20261123-1", mark: "mark" },
    leaseSeconds: 30,
    shakeHands: async () => undefined,
  });
  const words = fleetOf.lastWords("m");
  const released = fleetOf.call("m", { kind: "release", nonce: "nonce" });
  expect(await fleetOf.call("m", { kind: "renew", nonce: "nonce" })).toMatchObject({
    kind: "leased",
  });
  expect(renewed).toEqual(["m nonce"]);
  expect(await Promise.race([released, Bun.sleep(20)])).toBeUndefined();
  log.reject(new MachinesApiError("lost", "timed out", { action: "run in machine" }));
  expect([await words, await released]).toEqual([[], { kind: "done" }]);
});

test("a real session is waited for, and when it ends the machine is updated at once", async () => {
  const on: AdminStage = await openAdminStage([], { entrypoint: selfCommand("init") });
  closing.push(async () => on.close());
  await on.admin("tenant", "create", "acme", "--template", on.template);
  const [machine] = await on.machines();
  const [volume] = await on.volumes();
  const folder = join(on.dir, "fly");
  makeBusyboxRootfs(join(folder, "volumes", volume?.id ?? "", "rootfs"), { init: "none" });
  const path = `${on.fly.apiBase}/v1/apps/${app}/machines/${machine?.id}/restart`;
  const headers = { authorization: `Bearer ${on.fly.apiToken}` };
  expect((await fetch(path, { method: "POST", headers })).status).toBe(200);
  const session = await openSession(join(folder, "machines", machine?.id ?? "", "run/keeper.sock"));
  const image = `registry.fly.io/${app}/init@sha256:${"a".repeat(64)}`;
  const words = ["--image", image, "--all-tenants", "--no-handshake", "--soak-secs", "0"];
  const { context, exit } = on.start("tenant", "update-image", ...words, "--drain", "1h", "--json");
  while (!context.out().includes('"step":"drain"')) await Bun.sleep(20);
  expect(context.out()).toContain(`"open_sessions":[{"machine_id":"${machine?.id}","sessions":1}]`);
  await Bun.sleep(300);
  expect(context.out()).not.toContain('"step":"cordon"');
  await session.endInput();
  expect((await session.outcome()).exit).toEqual({ code: 0 });
  expect(await exit).toBe(0);
  expect(context.out()).toContain('"sessions_cut":0');
}, 120_000);

const never = async (): Promise<never> => Promise.reject(new Error("not to be called"));
const unused: RolloutApi = {
  readMachine: never,
  updateMachine: never,
  startMachine: never,
  cordonMachine: never,
  uncordonMachine: never,
  takeLease: never,
  readLease: never,
  releaseLease: never,
  executeIn: never,
};

/** `cat`, which runs until its input ends. */
async function openSession(socket: string): Promise<TestClient> {
  for (let tries = 0; ; tries += 1) {
    try {
      const frames = new FrameStream(await connectUnix(socket));
      const id = crypto.randomUUID();
      const argv = ["cat"];
      const open = { type: "session-open", id, client: id, tty: false, argv } as const;
      return await TestClient.connect(frames, open);
    } catch (error) {
      if (tries > 100) throw error;
      await Bun.sleep(50);
    }
  }
}

test("once over, a drain stays so; faults that pass are waited out, others are not", () => {
  const runs = { on: "old", runs: true };
  const drain = new Drain(10_000);
  expect([drain.isDue(runs, 0), drain.isDue(runs, 500)]).toEqual([true, true]);
  expect(drain.see(1, 0)).toEqual({ kind: "wait", pauseMs: rolloutLimits.drainPollMs });
  expect(drain.missed({ kind: "lost", words: "no answer" }, 9_000)).toEqual({
    kind: "wait",
    pauseMs: 1_000,
  });
  expect(drain.see(2, 10_000)).toMatchObject({ kind: "cut", sessions: 2 });
  expect(drain.isDue(runs, 10_000)).toBe(false);
  const silent = new Drain(3_600_000);
  silent.isDue(runs, 0);
  const miss = (): string => silent.missed({ kind: "unavailable", words: "500" }, 1).kind;
  for (let times = 1; times < rolloutLimits.attemptsMax; times += 1) expect(miss()).toBe("wait");
  expect(miss()).toBe("cut");
  const refused = new Drain(10_000);
  refused.isDue(runs, 0);
  expect(refused.missed({ kind: "refused", words: "no such command" }, 1)).toMatchObject({
    kind: "cut",
    sessions: undefined,
  });
  expect(new Drain(0).isDue(runs, 0)).toBe(false);
  for (const other of [
    { on: "old", runs: false },
    { on: "new", runs: true },
  ])
    expect(new Drain(1).isDue(other, 0)).toBe(false);
});

test("all are asked, some at a time, and the slow ones are given up", async () => {
  let [atOnce, most, answered] = [0, 0, 0];
  const silence = Promise.withResolvers<never>();
  const othersAnswered = Promise.withResolvers<undefined>();
  const api = {
    executeIn: async (id: string) => {
      most = Math.max(most, ++atOnce);
      if (id === "m7") return silence.promise;
      await Bun.sleep(1);
      atOnce -= 1;
      // Once what it says has been heard, too.
      if (++answered === 99) setImmediate(othersAnswered.resolve);
      if (id === "m3") throw new MachinesApiError("refused", "no", { action: "ask" });
      return { exit_code: 0, exit_signal: 0, stdout: '{"open":1}', stderr: "" };
    },
  };
  const machines = Array.from({ length: 100 }, (_, at) => ({ id: `m${at}`, state: "started" }));
  const census = await countSessions(api, machines, async () => othersAnswered.promise);
  expect([most, census.open.size]).toEqual([rolloutLimits.censusAtOnceMax, 98]);
  expect([...census.unknown.keys()]).toEqual(["m3", "m7"]);
});
