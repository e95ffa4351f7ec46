import { afterEach, expect, test } from "bun:test";
import { main } from "../../../src/roles/admin/main.ts";
import { readJournal } from "../../../src/roles/admin/rollout-journal.ts";
import { memoryContext } from "../../support/memory-context.ts";
import { type FleetStage, images, leftovers, openFleetStage } from "./fleet-stage.ts";

let stage: FleetStage | undefined;
const open = async (): Promise<FleetStage> => (stage = await openFleetStage());
afterEach(async () => {
  await stage?.close();
  stage = undefined;
});

const machinePath = "/v1/apps/{app}/machines/{id}";
const quick = ["--soak-secs", "0", "--health-timeout-secs", "1"];
const everywhere = ["--image", images.new, ...quick, "--all-tenants"];
const imagesOf = async (on: FleetStage) => (await on.machines()).map(({ config }) => config.image);

test("a machine that a killed creation left is named and left alone; all metadata survives, back too", async () => {
  const on = await open();
  const metadata = {
    "fly_vault.template": "t",
    "fly_vault.launch_id": "0123456789abcdef-1",
    "fly_vault.template_keys": "env=1",
    "fly_vault.from_tomorrow": "kept",
    theirs: "kept",
  };
  await on.create("acme", { metadata });
  const half = await on.create("zeta", {
    metadata: { ...metadata, "fly_vault.unfinished": "true" },
  });
  const before = await on.machines();
  const metadataOf = (machines: Awaited<ReturnType<typeof on.machines>>) =>
    machines.map(({ config }) => config.metadata);
  for (const [image, exitCode] of [
    [images.sick, 8],
    [images.new, 0],
  ] as const) {
    const done = await on.admin("--image", image, ...quick, "--all-tenants");
    const after = await on.machines();
    expect([done.exitCode, metadataOf(after)]).toEqual([exitCode, metadataOf(before)]);
    expect(done.out).toContain(`1 machine, 1 tenant · `);
    expect(done.out).toContain(`1 unfinished, left alone (${half})`);
    const versionOfHalf = (machines: typeof after) =>
      machines.find(({ id }) => id === half)?.version;
    expect(versionOfHalf(after)).toBe(versionOfHalf(before));
  }
  const rest = await on.admin(...everywhere, "--json");
  const [plan = ""] = rest.out.split("\n");
  expect(JSON.parse(plan)).toMatchObject({ machines: [], unfinished: [half] });
});

test("a host that does not tell a machine's configuration for a moment is waited for", async () => {
  const on = await open();
  const id = await on.create("acme");
  for (const from of [1, 2, 3]) {
    const image = from === 2 ? images.old : images.new;
    const silent = { config: null, host_status: "unreachable", image_ref: null };
    on.fly.faults.install({
      faults: [
        {
          call: `GET ${machinePath}`,
          machine: id,
          from,
          do: { kind: "patch", members: silent },
        },
      ],
    });
    const done = await on.admin("--image", image, "--tenant", "acme", ...quick);
    expect([from, done.exitCode, done.err.includes("failed")]).toEqual([from, 0, false]);
    expect([await imagesOf(on), leftovers(await on.machines())]).toEqual([[image], []]);
  }
});

test("a machine cannot write to the terminal, nor make the journal unreadable", async () => {
  const on = await open();
  // A machine may change its own metadata.
  const evil = `acme\u001B[2J\n${"x".repeat(3_000)}`;
  const id = await on.create("acme", { metadata: { "fly_vault.tenant_id": evil } });
  const sick = { checks: [{ name: "up\u001B[2J\u0007", status: "critical" }] };
  on.fly.faults.install({
    faults: [
      {
        call: `GET ${machinePath}`,
        machine: id,
        times: "always",
        do: { kind: "patch", members: sick },
      },
    ],
  });
  const done = await on.admin(...everywhere);
  expect([done.exitCode, done.err.includes("check up")]).toEqual([8, true]);
  expect(done.out + done.err).not.toMatch(/[^\P{Cc}\n]/u);
  const text = await readJournal(`${on.env["FLY_VAULT_HOME"]}/rollouts`, on.journals()[0] ?? "");
  expect(text?.plan.machines.map((each) => each.id)).toEqual([id]);
});

test("Ctrl-C while the plan is shown: nothing is begun", async () => {
  const on = await open();
  await on.create("acme");
  const before = (await on.machines()).map(({ version }) => version);
  const context = memoryContext({ env: on.env, onOut: () => context.stop("SIGINT") });
  expect(await main(["tenant", "update-image", ...everywhere], context)).toBe(130);
  const after = await on.machines();
  expect(after.map(({ version }) => version)).toEqual(before);
  expect(on.journals()).toEqual([]);
});

test("the plan and a resume name the app and the image, and the way to resume names the app", async () => {
  const on = await open();
  await on.createTenants(2);
  on.fly.faults.install({
    faults: [
      {
        call: `POST ${machinePath}/uncordon`,
        do: { kind: "answer", status: 401, body: { error: "token validation error" } },
      },
    ],
  });
  const done = await on.admin(...everywhere);
  expect(done.out).toStartWith(`app ${on.env["FLY_APP"]}\nimage ${images.new}\n`);
  const [id = ""] = on.journals();
  const resume = `--resume ${id} --app ${on.env["FLY_APP"]}`;
  expect([done.exitCode, done.err]).toEqual([4, expect.stringContaining(resume)]);
  const resumed = await on.admin("--resume", id);
  const told = `rollout ${id} of app ${on.env["FLY_APP"]} to ${images.new}: 1 at work, 1 not begun`;
  expect([resumed.exitCode, resumed.err]).toEqual([0, expect.stringContaining(told)]);
});

test("what a plan left out and skipped is not forgotten by a resume", async () => {
  const on = await open();
  const left = await on.create("acme");
  await on.create("zeta");
  await on.create("zulu", { image: images.new });
  const refused = { error: "token validation error" };
  on.fly.faults.install({
    faults: [
      {
        call: "GET /v1/apps/{app}/machines",
        do: { kind: "patch", members: { host_status: "unreachable" } },
      },
      {
        call: `POST ${machinePath}/uncordon`,
        do: { kind: "answer", status: 401, body: refused },
      },
    ],
  });
  const tenants = ["acme", "zeta", "zulu"].flatMap((tenant) => ["--tenant", tenant]);
  const done = await on.admin("--image", images.new, ...quick, ...tenants);
  expect([done.exitCode, done.out]).toEqual([4, expect.stringContaining("1 left out")]);
  const resumed = await on.admin("--resume", on.journals()[0] ?? "");
  expect(resumed.exitCode).toBe(8);
  expect(resumed.err).toContain(`machine ${left} was left out, its host does not answer`);
  expect(resumed.err).toContain("1 updated, 1 skipped");
});
