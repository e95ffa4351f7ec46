import { afterEach, expect, test } from "bun:test";
import type { FaultScriptInput } from "../../../src/roles/local/fault-script.ts";
import { type FleetStage, images, leftovers, openFleetStage } from "./fleet-stage.ts";

let stage: FleetStage | undefined;
const open = async (faults: FaultScriptInput["faults"] = []): Promise<FleetStage> => {
  stage = await openFleetStage();
  stage.fly.faults.install({ faults });
  return stage;
};
afterEach(async () => {
  await stage?.close();
  stage = undefined;
});

const machinePath = "/v1/apps/{app}/machines/{id}";
const quick = ["--soak-secs", "0", "--health-timeout-secs", "1"];
const toNew = ["--image", images.new, ...quick];
const everywhere = [...toNew, "--all-tenants"];
const imagesOf = async (on: FleetStage) => (await on.machines()).map(({ config }) => config.image);
/** `exec` only asks. */
const changes = (on: FleetStage) =>
  on.fly.calls.rows.filter(({ method, route }) => method !== "GET" && !route.endsWith("/exec"))
    .length;
const events = (out: string) =>
  out
    .trim()
    .split("\n")
    .map((line): Record<string, unknown> => JSON.parse(line));
/** Waits for something that another part of the process is about to do. */
const eventually = async (holds: () => boolean | Promise<boolean>) => {
  while (!(await holds())) await Bun.sleep(1);
};

test("the plan, then every machine: what stands still stays so, what is new already is skipped", async () => {
  const on = await open();
  await on.create("acme", { region: "ord" });
  const stopped = await on.create("acme", { region: "fra" });
  await on.create("zeta", { region: "syd" });
  const ready = await on.create("zulu", { image: images.new });
  await on.call("POST", `/v1/apps/vault-tenants/machines/${stopped}/stop`);
  await on.call("GET", `/v1/apps/vault-tenants/machines/${stopped}/wait?state=stopped`);
  const before = await on.machines();
  on.fly.calls.clear();
  const dry = await on.admin(...everywhere, "--canary", "2", "--dry-run");
  expect([dry.exitCode, dry.err, changes(on)]).toEqual([0, "", 0]);
  expect(dry.out).toContain(`image ${images.new}\n3 machines, 2 tenants · canary 2: `);
  expect(dry.out).toMatch(/\(acme, ord\), \w+ \(zeta, syd\)/);
  expect(dry.out).toContain("1 already on this image, skipped · 1 stopped, will be left stopped");
  expect(dry.out).toContain("no handshake with init (this computer has no address in Fly's");
  const done = await on.admin(...everywhere, "--canary", "2");
  expect(done.exitCode).toBe(0);
  expect(done.out).toStartWith(dry.out);
  expect(done.out).toContain("done: 2 updated, 1 skipped, 1 stopped, 0 failed · ");
  const after = await on.machines();
  expect(leftovers(after)).toEqual([]);
  expect(new Set(await imagesOf(on))).toEqual(new Set([images.new]));
  for (const machine of after) {
    const was = before.find(({ id }) => id === machine.id);
    expect(machine.state).toBe(was?.state ?? "");
    expect({ ...machine.config, image: "" }).toEqual({ ...was?.config, image: "" } as never);
    expect(machine.version === was?.version).toBe(machine.id === ready);
  }
  const again = await on.admin(...everywhere);
  expect([again.exitCode, again.err]).toEqual([0, "nothing to do\n"]);
});

test("one machine: leased, cordoned, updated, watched, uncordoned, given back, in that order", async () => {
  const on = await open();
  await on.create("acme");
  on.fly.calls.clear();
  expect((await on.admin(...toNew, "--tenant", "acme")).exitCode).toBe(0);
  const calls = on.fly.calls.rows.map(
    ({ method, route }) => `${method} ${route.replace("/v1/apps/{app}/machines", "")}`,
  );
  const reads = calls.lastIndexOf("GET /{id}");
  expect(calls.slice(0, 7)).toEqual([
    "GET ",
    "POST /{id}/exec",
    "POST /{id}/lease",
    "GET /{id}",
    "POST /{id}/cordon",
    "GET /{id}",
    "POST /{id}",
  ]);
  expect(calls.slice(reads + 1)).toEqual(["POST /{id}/uncordon", "DELETE /{id}/lease"]);
  expect(on.journal().map((line) => JSON.parse(line).type)).toEqual([
    "lease",
    "leased",
    "begin",
    "update",
    "uncordon",
    "release",
    "end",
    "finish",
  ]);
});

test("a sick image: the first canary ends it, its events are told, and it goes back", async () => {
  const on = await open();
  await on.createTenants(4);
  const words = ["--image", images.sick, ...quick, "--all-tenants"];
  const done = await on.admin(...words);
  expect([done.exitCode, await imagesOf(on)]).toEqual([8, Array(4).fill(images.old)]);
  expect(leftovers(await on.machines())).toEqual([]);
  expect(done.err).toContain("did not become healthy in time: check up is critical");
  expect(done.err).toMatch(/\d\d\dZ update replacing/);
  expect(done.err).toContain("1 rolled back, 3 not begun");
  expect(done.err).toContain("fix:   mend the image, then begin another rollout");
  const [id = ""] = on.journals();
  const resumed = await on.admin("--resume", id);
  expect([resumed.exitCode, resumed.err.includes("was rolled back")]).toEqual([8, true]);
});

test("one sick machine among many: all go back, the newest first, and a resume sees to the rest", async () => {
  const on = await open();
  const ids = [await on.create("a"), await on.create("b"), await on.create("c")];
  const [first = "", second = "", third = ""] = ids;
  const sick = { checks: [{ name: "up", status: "critical" }] };
  on.fly.faults.install({
    faults: [
      {
        call: `GET ${machinePath}`,
        machine: third,
        times: "always",
        do: { kind: "patch", members: sick },
      },
    ],
  });
  const done = await on.admin(...everywhere, "--concurrency", "1", "--json");
  expect(done.exitCode).toBe(8);
  const ended = events(done.out).filter(({ type, step }) => type === "machine" && step === "over");
  expect(ended.map(({ machine_id: id, outcome }) => [id, outcome])).toEqual([
    [first, "updated"],
    [second, "updated"],
    [third, "failed"],
    [second, "rolled-back"],
    [first, "rolled-back"],
  ]);
  const [rollout = ""] = on.journals();
  expect(JSON.parse(done.err).error.fix).toContain(`--resume ${rollout}`);
  expect([await imagesOf(on), leftovers(await on.machines())]).toEqual([
    [images.old, images.old, images.old],
    [],
  ]);
  on.fly.faults.clear();
  const resumed = await on.admin("--resume", rollout);
  expect([resumed.exitCode, resumed.err.includes("mend the image")]).toEqual([8, true]);
});

test("--json: events, one object a line, and a result at the end", async () => {
  const on = await open();
  await on.create("acme");
  const done = await on.admin(...everywhere, "--json");
  const rows = events(done.out);
  expect([done.exitCode, done.err]).toEqual([0, ""]);
  expect(rows[0]).toMatchObject({
    type: "plan",
    image: images.new,
    machines: [{ tenant_id: "acme", region: "ord", canary: true, stopped: false }],
    handshake: false,
  });
  const steps = rows.filter(({ type }) => type === "machine").map(({ step }) => step);
  expect(steps.filter((step) => step !== "start" && step !== "health")).toEqual([
    "lease",
    "look",
    "cordon",
    "update",
    "uncordon",
    "release",
    "over",
  ]);
  expect(rows.at(-1)).toMatchObject({
    type: "result",
    rollout: on.journals()[0] ?? "",
    updated: 1,
    failed: 0,
    turned_because: null,
    finished: true,
    exit: 0,
  });
});

test("on a terminal: a table that is drawn in place and gone at the end", async () => {
  const on = await open();
  await on.createTenants(2);
  const words = ["--image", images.new, "--all-tenants", "--soak-secs", "1", "--canary", "0"];
  const { context, exit } = on.start(words, true);
  expect(await exit).toBe(0);
  const drawn = context.err();
  expect(drawn).toMatch(/MACHINE +TENANT +REGION +STEP +FOR\n/);
  expect(drawn).toContain("soaking");
  expect(drawn).toContain("A\r\u001B[J");
  expect(drawn.split("\u001B[J").at(-1)).toBe("");
});

test("Ctrl-C once finishes the machines at work, and --resume does the others", async () => {
  const on = await open();
  await on.createTenants(6);
  const { context, exit } = on.start([...everywhere, "--concurrency", "2"]);
  await eventually(() => on.journals().length > 0 && on.journal().length > 8);
  context.stop("SIGINT");
  expect(await exit).toBe(8);
  expect(context.err()).toContain("finishing the machines at work; Ctrl-C again ends at once");
  expect(context.err()).toContain("is only partly done");
  expect(leftovers(await on.machines())).toEqual([]);
  const half = new Set(await imagesOf(on));
  expect(half).toEqual(new Set([images.old, images.new]));
  const [id = ""] = on.journals();
  expect(context.err()).toContain(`fly-vault-admin tenant update-image --resume ${id}`);
  const resumed = await on.admin("--resume", id);
  expect([resumed.exitCode, new Set(await imagesOf(on))]).toEqual([0, new Set([images.new])]);
});

test("Ctrl-C twice ends at once; another rollout has to wait for the resume", async () => {
  const on = await open([
    { call: `POST ${machinePath}/uncordon`, do: { kind: "hang", when: "before" } },
  ]);
  await on.createTenants(3);
  const { context, exit } = on.start(everywhere);
  await eventually(() => JSON.stringify(on.fly.faults.report()).includes('"hits":1'));
  context.stop("SIGINT");
  context.stop("SIGINT");
  expect(await exit).toBe(130);
  expect(leftovers(await on.machines()).length).toBe(2);
  const [id = ""] = on.journals();
  expect(context.err()).toContain(`--resume ${id}`);
  const other = await on.admin("--image", images.third, ...quick, "--all-tenants");
  expect([other.exitCode, other.err.includes(`rollout ${id} of app`)]).toEqual([7, true]);
  const resumed = await on.admin("--resume", id, "--json");
  expect([resumed.exitCode, leftovers(await on.machines())]).toEqual([0, []]);
  expect(new Set(await imagesOf(on))).toEqual(new Set([images.new]));
});

test("two at once: the second is refused", async () => {
  const on = await open([{ call: `POST ${machinePath}/cordon`, do: { kind: "delay", ms: 150 } }]);
  await on.createTenants(2);
  const { exit } = on.start(everywhere);
  await eventually(() => on.journals().length > 0);
  const second = await on.admin("--image", images.third, ...quick, "--all-tenants");
  expect([second.exitCode, second.err.includes("is at work")]).toEqual([7, true]);
  expect(await exit).toBe(0);
});

test("what others do: leases, versions, deletions, answers lost after the work was done", async () => {
  const on = await open();
  await on.createTenants(6);
  const [held, stale, lost, stolen, gone] = (await on.machines()).map(({ id }) => id);
  const update = `POST ${machinePath}`;
  on.fly.faults.install({
    faults: [
      { call: `POST ${machinePath}/lease`, machine: held!, do: { kind: "drop", when: "after" } },
      {
        call: update,
        machine: stale!,
        do: { kind: "answer", status: 409, body: { error: "aborted: current_version" } },
      },
      { call: update, machine: lost!, do: { kind: "drop", when: "after" } },
      { call: `POST ${machinePath}/cordon`, machine: stolen!, do: { kind: "lose-lease" } },
      { call: `POST ${machinePath}/cordon`, machine: gone!, do: { kind: "vanish" } },
    ],
  });
  const done = await on.admin(...everywhere);
  expect([done.exitCode, done.out]).toEqual([0, expect.stringContaining("5 updated, 0 skipped")]);
  expect(done.out).toContain("1 gone meanwhile");
  expect([await imagesOf(on), leftovers(await on.machines())]).toEqual([
    Array(5).fill(images.new),
    [],
  ]);
});

test("a refused token ends it, and a good one resumes it", async () => {
  const on = await open([
    {
      call: `POST ${machinePath}/uncordon`,
      do: { kind: "answer", status: 401, body: { error: "token validation error" } },
    },
  ]);
  await on.createTenants(2);
  const done = await on.admin(...everywhere);
  expect([done.exitCode, done.err.includes("FV-API-002")]).toEqual([4, true]);
  expect(leftovers(await on.machines()).length).toBe(2);
  const resumed = await on.admin("--resume", on.journals()[0] ?? "");
  expect([resumed.exitCode, leftovers(await on.machines())]).toEqual([0, []]);
});

test("no token, of Fly or of a tenant, is in anything that is told or kept", async () => {
  const on = await open();
  await on.createTenants(2);
  const done = await on.admin("--image", images.sick, ...quick, "--all-tenants", "--json");
  const all = done.out + done.err + on.journal().join("");
  expect(all).not.toContain("token-of-");
  expect(all).not.toContain(on.fly.apiToken);
});

test("wrong words: exit 2 or 3, a reason, and nothing changed", async () => {
  const on = await open();
  await on.create("acme");
  on.fly.calls.clear();
  for (const [words, exitCode, message] of [
    [["--all-tenants"], 2, "--image IMAGE is missing"],
    [toNew, 2, "name tenants with --tenant TENANT, or say --all-tenants"],
    [[...everywhere, "--tenant", "acme"], 2, "--all-tenants and --tenant exclude each other"],
    [[...toNew, "--tenant", "Acme"], 2, "is no tenant id"],
    [[...toNew, "--tenant", "nobody"], 3, 'no tenant "nobody"'],
    [[...everywhere, "--concurrency", "0"], 2, '--concurrency "0" is no whole number from 1 to 64'],
    [[...everywhere, "--canary", "-1"], 2, "--canary"],
    [[...everywhere, "--max-unavailable", "0%"], 2, "is no number of machines"],
    [[...everywhere, "--max-unavailable", "101%"], 2, "is no number of machines"],
    [[...everywhere, "--lease-ttl-secs", "5"], 2, "from 30 to 3600"],
    [[...everywhere, "--handshake"], 2, "--handshake cannot be done"],
    [["--image", "a b", "--all-tenants"], 2, "is no image"],
    [["--image", "x@sha256:12", "--all-tenants"], 2, "is no image"],
    [["--resume", "r-20261123-1", "--all-tenants"], 2, "--all-tenants cannot be said with"],
    [["--resume", "../x"], 2, "is no rollout"],
    [["--resume", "r-20000101-1"], 3, 'there is no rollout "r-20000101-1"'],
  ] as const) {
    const ran = await on.admin(...words);
    expect([words, ran.exitCode, ran.err]).toEqual([
      words,
      exitCode,
      expect.stringContaining(message),
    ]);
  }
  expect([changes(on), on.journals()]).toEqual([0, []]);
});
