import { tenantTemplate } from "../../support/tenant-template.ts";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main as admin } from "../../../src/roles/admin/main.ts";
import { family, identify, isAlive, isStopped } from "../../../src/roles/local/process-table.ts";
import { initLimits } from "../../../src/roles/init/limits.ts";
import { childEnv } from "../../../src/system/child-env.ts";
import { selfCommand } from "../../../src/system/self.ts";
import { memoryContext } from "../../support/memory-context.ts";
import { makeRootfsArchive } from "../../support/rootfs-archive.ts";
import { eventually, openStage, type Stage } from "./stage.ts";

/** The real init in a machine of fly-local, made by the administrator's program, used by the client's. */
let stage: Stage;
let home: string;
let machineId = "";

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "fl-home-"));
  stage = await openStage({
    entrypoint: selfCommand("init"),
    evidencePace: { perSecond: 1, burst: 3 },
  });
  const template = join(home, "t.toml");
  writeFileSync(template, tenantTemplate("app-a"));
  const context = memoryContext({
    env: { FLY_API_BASE: stage.server.apiBase, FLY_API_TOKEN: stage.server.apiToken },
  });
  const exitCode = await admin(["tenant", "create", "acme", "--template", template], context);
  if (exitCode !== 0) throw new Error(context.err());
  machineId = /machine_id = "(\w+)"/.exec(context.out())?.[1] ?? "";
  const rootfs = await makeRootfsArchive(home, {
    format: "tar.zst",
    files: { "/etc/release": "first\n" },
  });
  const config = `${context.out()}rootfs = ${JSON.stringify(rootfs)}\n`;
  writeFileSync(join(home, "config.toml"), config);
  chmodSync(join(home, "config.toml"), 0o600);
}, 120_000);

afterAll(async () => {
  await stage.close();
  rmSync(home, { recursive: true, force: true });
}, 120_000);

const machine = () => `/v1/apps/app-a/machines/${machineId}`;

async function exec(...command: readonly string[]) {
  const child = Bun.spawn({
    cmd: selfCommand("exec", "acme", "--", ...command),
    env: childEnv({
      PATH: process.env["PATH"],
      HOME: home,
      FLY_VAULT_CONFIG: join(home, "config.toml"),
    }),
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 60_000,
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { exitCode: await child.exited, out, err };
}

function initPid(): number {
  const state = JSON.parse(readFileSync(join(stage.dir, "state.json"), "utf8"));
  return state.machines.find((each: { id: string }) => each.id === machineId).process.pid;
}

test("the entry that tenant create printed is enough for a client to get in", async () => {
  const first = await exec("cat", "/etc/release");
  expect([first.exitCode, first.out, first.err.includes("error")]).toEqual([0, "first\n", false]);
}, 120_000);

test("the access token is not in init's environment any more, nor in fly-local's log", async () => {
  const token = /access_token = "(\S+)"/.exec(readFileSync(join(home, "config.toml"), "utf8"))?.[1];
  if (token === undefined) throw new Error("no token");
  for (const { pid } of family({
    pid: initPid(),
    startTicks: identify(initPid())?.startTicks ?? "",
  })) {
    const seen =
      readFileSync(`/proc/${pid}/environ`, "utf8") + readFileSync(`/proc/${pid}/cmdline`, "utf8");
    expect([pid, seen.includes(token)]).toEqual([pid, false]);
  }
  expect(await stage.log(machineId)).not.toContain(token);
});

test("suspended in the middle of a command, the machine and the command go on from there", async () => {
  const running = exec("sh", "-c", ": > /root/runs; for i in 1 2 3; do echo $i; sleep 0.2; done");
  const volume = new Bun.Glob("volumes/*/persist/root/runs");
  await eventually(() => [...volume.scanSync(stage.dir)].length === 1);
  const members = family({
    pid: initPid(),
    startTicks: identify(initPid())?.startTicks ?? "",
  });
  expect((await stage.call("POST", `${machine()}/suspend`)).status).toBe(200);
  expect(members.filter(isAlive).every(isStopped)).toBe(true);
  await stage.reach(machineId, "suspended");
  expect((await stage.call("POST", `${machine()}/start`)).json.previous_state).toBe("suspended");
  expect(await running).toMatchObject({ exitCode: 0, out: "1\n2\n3\n" });
}, 120_000);

test("stopped and started the machine keeps its volume; stopping ends every process of it", async () => {
  await exec("sh", "-c", "echo kept > /root/note");
  const pid = initPid();
  const root = { pid, startTicks: identify(pid)?.startTicks ?? "" };
  const members = family(root);
  expect(members.length).toBeGreaterThan(2);
  await stage.call("POST", `${machine()}/stop`);
  await stage.reach(machineId, "stopped");
  const [exit] = (await stage.call("GET", `${machine()}/events`)).json;
  expect(exit.request.exit_event).toMatchObject({ exit_code: 0, requested_stop: true });
  await eventually(() => members.every((member) => !isAlive(member)));
  await stage.call("POST", `${machine()}/start`);
  await stage.reach(machineId, "started");
  const again = await exec("cat", "/root/note", "/etc/release");
  expect([again.exitCode, again.out]).toEqual([0, "kept\nfirst\n"]);
}, 120_000);

test("inside it has the vault's name; a power-off there stops the machine, and a start brings it back", async () => {
  expect((await exec("hostname")).out).toBe("acme\n");
  // Sooner it would be a boot that failed.
  await Bun.sleep(initLimits.bootingMs);
  const script = "sleep 0.3; busybox poweroff -f";
  await exec("sh", "-c", `(${script}) >/dev/null 2>&1 </dev/null &`);
  await stage.reach(machineId, "stopped");
  const [exit] = (await stage.call("GET", `${machine()}/events`)).json;
  expect(exit.request.exit_event).toMatchObject({ exit_code: 0, requested_stop: false });
  await stage.call("POST", `${machine()}/start`);
  await stage.reach(machineId, "started");
  expect((await exec("cat", "/etc/release")).out).toBe("first\n");
}, 120_000);

test("a machine that is switched off takes its workload along", async () => {
  const pid = initPid();
  const members = family({ pid, startTicks: identify(pid)?.startTicks ?? "" });
  await stage.call("DELETE", `${machine()}?force=true`);
  await eventually(() => members.every((member) => !isAlive(member)));
});
