import { afterEach, expect, test } from "bun:test";
import { parse } from "smol-toml";
import { Failure } from "../../../src/cli/failure.ts";
import { tokenStrength } from "../../../src/fly/token.ts";
import { main } from "../../../src/roles/admin/main.ts";
import { memoryContext } from "../../support/memory-context.ts";
import { type AdminStage, app, openAdminStage, templateText } from "./stage.ts";

let stage: AdminStage | undefined;
const open = async (...given: Parameters<typeof openAdminStage>): Promise<AdminStage> => {
  stage = await openAdminStage(...given);
  return stage;
};
afterEach(async () => {
  await stage?.close();
  stage = undefined;
}, 120_000);

const create = async (on: AdminStage, ...words: readonly string[]) =>
  on.admin("tenant", "create", "acme", "--template", on.template, ...words);

test("create prints an entry for the client, and the machine is as it says", async () => {
  const on = await open();
  const { exitCode, out, err } = await create(on);
  expect(err).toMatch(/^made volume vol_\w+ \(tvol_acme_1, 1 GB\)\nmade machine [0-9a-f]{14} /);
  expect(exitCode).toBe(0);
  const { vault } = parse(out) as { vault: Record<string, Record<string, string>> };
  const [machine] = await on.machines();
  const entry = vault["acme"] ?? {};
  expect(entry).toMatchObject({
    org: "local",
    app,
    machine_id: machine?.id ?? "",
    issuer: on.fly.issuer,
  });
  expect(entry["address"]).toMatch(/^127\.\d+\.\d+\.\d+:8443$/);
  expect(tokenStrength(entry["access_token"] ?? "")).toBe("strong");
  expect(machine).toMatchObject({
    name: "tenant-acme-1",
    state: "started",
    region: "ord",
    config: { env: { ACCESS_TOKEN: entry["access_token"] } },
  });
  expect(machine?.config.metadata).toMatchObject({
    "fly_vault.tenant_id": "acme",
    "fly_vault.managed_by": "fly-vault-admin",
    "fly_vault.template": "tenant.template.toml",
  });
});

test("--json says the same for programs", async () => {
  const on = await open();
  const { out } = await create(on, "--json");
  const { schema, data } = JSON.parse(out);
  expect(schema).toBe("fly-vault/tenant-create");
  const [machine] = await on.machines();
  expect(data).toEqual([
    expect.objectContaining({ vault: "acme", machine_id: machine?.id, app, org: "local" }),
  ]);
});

test("what could not be shown is taken away again: its token is known to nobody", async () => {
  const on = await open();
  const context = memoryContext({
    env: on.env,
    onOut: async () =>
      Promise.reject(new Failure("FV-SYS-001", "standard output cannot be written")),
  });
  const words = ["tenant", "create", "acme", "--template", on.template];
  expect(await main(words, context)).toBe(1);
  expect(context.err()).toContain("standard output cannot be written");
  expect(await on.machines()).toEqual([]);
  expect(await on.volumes()).toEqual([]);
});

test("a second create of the same tenant changes nothing and exits 7", async () => {
  const on = await open();
  await create(on);
  const again = await create(on);
  expect(again.exitCode).toBe(7);
  expect(again.err).toContain('tenant "acme" exists already');
  expect(again.err).toContain(`fly-vault-admin tenant delete acme --app ${app}\n`);
  expect((await on.machines()).length).toBe(1);
  expect((await on.volumes()).length).toBe(1);
});

test("--dry-run sends nothing, needs no API token, and shows no secret", async () => {
  const on = await open();
  const { exitCode, out, err } = await create(on, "--dry-run", "--access-token", "my-own-secret");
  expect(exitCode).toBe(0);
  expect(on.proxy.calls).toEqual([]);
  expect(out + err).not.toContain("my-own-secret");
  const [body] = JSON.parse(out);
  expect(body.config.mounts[0].volume).toBe("<auto:tvol_acme_1@ord>");
  expect(body.config.env.ACCESS_TOKEN).toBe("***");
});

test("the token comes from a word, a file, or stdin; words are warned about", async () => {
  const on = await open();
  const tokenOf = async () => (await on.machines())[0]?.config.env["ACCESS_TOKEN"];
  const word = await create(on, "--access-token", "secret");
  expect(word.err).toContain("warning: others can read --access-token");
  expect(word.err).toContain("warning: this access token is not one of ours");
  expect(await tokenOf()).toBe("secret");
  await on.admin("tenant", "delete", "acme", "--yes");
  const file = on.write("token", "from-a-file\n");
  expect((await create(on, "--access-token-file", file)).exitCode).toBe(0);
  expect(await tokenOf()).toBe("from-a-file");
  for (const bad of ["", "two\nlines\n"]) {
    const path = on.write("bad", bad);
    expect((await create(on, "--access-token-file", path)).exitCode).toBe(2);
  }
  const both = await create(on, "--access-token", "x", "--access-token-file", file);
  expect(both.err).toContain("exclude each other");
  const mistyped = await create(on, "--access-token", "fvt1_tooshort");
  expect([mistyped.exitCode, mistyped.err.includes("mistyped")]).toEqual([2, true]);
});

test("several machines get an entry each; list shows them short, wide and as JSON", async () => {
  const on = await open();
  const text = templateText.replace("machine_count = 1", "machine_count = 2");
  const template = on.write("two.toml", text);
  const { out } = await on.admin("tenant", "create", "acme", "--template", template);
  expect(Object.keys((parse(out) as { vault: object }).vault)).toEqual(["acme-1", "acme-2"]);
  await on.admin("tenant", "create", "zeta", "--template", on.template);
  const short = (await on.admin("tenant", "list")).out.trim().split("\n");
  expect(short[0]).toMatch(/^TENANT +MACHINES +REGIONS +IMAGE +LAST UPDATED$/);
  expect(short[1]).toMatch(/^acme +2\/2\/0 +ord +sha256:/);
  expect(short[2]).toMatch(/^zeta +1\/1\/0 /);
  const wide = (await on.admin("tenant", "list", "--wide", "--tenant", "acme")).out;
  expect(wide).toMatch(/^TENANT +MACHINE +STATE +REGION +IMAGE +VOLUMES\n/);
  expect(wide.trim().split("\n").length).toBe(3);
  const listed = await on.admin("tenant", "list", "--json", "--tenant", "acme");
  expect(listed.out).not.toContain("fvt1_");
  const [tenant] = JSON.parse(listed.out);
  expect(tenant).toMatchObject({ tenant_id: "acme", total: 2, started: 2, stopped: 0, other: 0 });
  expect(tenant.machines[0]).toMatchObject({
    name: "tenant-acme-1",
    config: { env: { ACCESS_TOKEN: "***" } },
    usage_fact: { state: "started", volumes: [{ size_gib: 1 }] },
  });
  expect(tenant.machines[0].usage_fact.started_at).toMatch(/^\d{4}-.*Z$/);
  const shown = await on.admin("tenant", "list", "--json", "--show-secrets");
  expect(shown.out).toContain("fvt1_");
});

test("machines of several images are told as drift, and JSON names what the first one named", async () => {
  const on = await open();
  const two = templateText.replace("machine_count = 1", "machine_count = 2");
  await on.admin("tenant", "create", "acme", "--template", on.write("two.toml", two));
  const [first] = await on.machines();
  const machine = `${on.fly.apiBase}/v1/apps/${app}/machines/${first?.id}`;
  const headers = { authorization: `Bearer ${on.fly.apiToken}` };
  const updated = await fetch(machine, {
    method: "POST",
    headers,
    body: JSON.stringify({ config: { ...first?.config, image: "another:1" } }),
  });
  const { instance_id } = (await updated.json()) as { instance_id: string };
  const wait = `${machine}/wait?state=started&version=${instance_id}&timeout=30`;
  expect((await fetch(wait, { headers })).status).toBe(200);
  expect((await on.admin("tenant", "list")).out).toMatch(/^acme +2\/2\/0 +ord +drift\(2\) /m);
  const [tenant] = JSON.parse((await on.admin("tenant", "list", "--json")).out);
  expect(Object.keys(tenant)).toEqual([
    "tenant_id",
    "total",
    "started",
    "stopped",
    "other",
    "regions",
    "image",
    "last_updated_at",
    "machines",
  ]);
  expect(Object.keys(tenant.machines[0])).toEqual([
    "id",
    "name",
    "state",
    "region",
    "instance_id",
    "private_ip",
    "created_at",
    "updated_at",
    "image",
    "image_ref",
    "volumes",
    "usage_fact",
    "config",
    "checks",
  ]);
  expect(Object.keys(tenant.machines[0].image_ref)).toContainValues([
    "repository",
    "tag",
    "digest",
  ]);
});

test("an app without tenants is no error, and says so on stderr", async () => {
  const on = await open();
  const { exitCode, out, err } = await on.admin("tenant", "list");
  expect([exitCode, out]).toEqual([0, ""]);
  expect(err).toContain("no managed tenants");
});

test("delete shows the plan, refuses without --yes, and removes everything with it", async () => {
  const on = await open();
  await create(on);
  await on.admin("tenant", "create", "other", "--template", on.template);
  const refused = await on.admin("tenant", "delete", "acme");
  expect(refused.exitCode).toBe(2);
  expect(refused.out).toContain("tenant acme: 1 machine and 1 volume (1 GiB) to delete");
  expect(refused.err).toContain("without --yes");
  expect((await on.machines()).length).toBe(2);
  const done = await on.admin("tenant", "delete", "acme", "--yes");
  expect([done.exitCode, done.err.includes("error")]).toEqual([0, false]);
  expect((await on.machines()).map(({ name }) => name)).toEqual(["tenant-other-1"]);
  expect((await on.volumes()).map(({ name }) => name)).toEqual(["tvol_other_1"]);
  const order = on.proxy.calls.filter((call) => /cordon|stop|wait|DELETE/.test(call));
  expect(order.slice(-5)).toEqual([
    "POST /machines/*/cordon",
    "POST /machines/*/stop",
    "GET /machines/*/wait",
    "DELETE /machines/*",
    "DELETE /volumes/*",
  ]);
  const again = await on.admin("tenant", "delete", "acme", "--yes");
  expect([again.exitCode, again.err.includes("FV-ADM-002")]).toEqual([3, true]);
});

test("skip_launch is not waited for, and a lease from the template is released", async () => {
  const on = await open();
  const text = templateText.replace("[machine]", "[machine]\nskip_launch = true\nlease_ttl = 600");
  const template = on.write("idle.toml", text);
  const made = await on.admin("tenant", "create", "acme", "--template", template);
  expect(made.exitCode).toBe(0);
  expect((await on.machines())[0]?.state).toBe("created");
  expect(on.proxy.calls).toContain("DELETE /machines/*/lease");
  expect((await on.admin("tenant", "delete", "acme", "--yes")).exitCode).toBe(0);
});

test("the globals of the first fly-vault-admin may stand before the command", async () => {
  const on = await open();
  const moved = await on.admin("--app", app, `--api-base=${on.fly.apiBase}`, "tenant", "list");
  expect(moved.exitCode).toBe(0);
  expect(on.proxy.calls).toEqual([]);
});

test("wrong words: exit 2, a reason, and nothing sent", async () => {
  const on = await open();
  const cases: readonly (readonly [readonly string[], string])[] = [
    [["tenant", "create", "acme"], "--template is missing"],
    [["tenant", "create", "--template", on.template], "TENANT is missing"],
    [["tenant", "create", "Acme", "--template", on.template], "is no tenant id"],
    [["tenant", "create", "a".repeat(64), "--template", on.template], "is no tenant id"],
    [["tenant", "create", "..", "--template", on.template], "is no tenant id"],
    [
      ["tenant", "create", "a", "--template", on.template, "--var", "x"],
      "error: --var: there is no =",
    ],
    [
      ["tenant", "create", "a", "--template", on.template, "--var", "=x"],
      '--var "=…": "" is no name',
    ],
    [["tenant", "create", "a", "--template", on.template, "--var", "index=1"], "the name is taken"],
    [
      ["tenant", "create", "a", "--template", on.template, "--var", "b=1", "--var", "b=2"],
      "said twice",
    ],
    [["tenant", "create", "a", "--template", on.template, "--app", "b"], 'but --app says "b"'],
    [
      ["tenant", "create", "a", "--template", on.template, "--wait-timeout-secs", "1m"],
      "whole seconds",
    ],
    [["tenant", "list", "--app", "Bad_App"], "is no app name"],
    [["tenant", "list", "--api-base", "http://api.example.com"], "https"],
    [["tenant", "list", "--api-base", "nonsense"], "https"],
    [["tenant", "lst"], "list"],
  ];
  for (const [words, message] of cases) {
    const { exitCode, err } = await on.admin(...words);
    expect([words, exitCode]).toEqual([words, 2]);
    expect(err).toContain(message);
  }
  expect(on.proxy.calls).toEqual([]);
});

test("a wrong API token is exit 4, with the request's id and without the token", async () => {
  const on = await open();
  const { exitCode, err } = await on.admin(
    "tenant",
    "list",
    "--api-token",
    "FlyV1 fm2_wrong_token",
  );
  expect(exitCode).toBe(4);
  expect(err).toMatch(/HTTP 401, request id \w+-local/);
  expect(err).not.toContain("fm2_wrong_token");
});

test("what others named cannot steer the terminal, nor pass for a line of its own", async () => {
  const on = await open();
  await on.admin("tenant", "create", "acme", "--template", on.template);
  const [machine] = await on.machines();
  const escape = "\u001B[2J\nmachine 0 \u009B31m\u202E";
  const config = {
    ...machine?.config,
    mounts: [],
    image: `init${escape}`,
    env: { ACCESS_TOKEN: "x".repeat(40), [`A${escape}`]: "b" },
    metadata: { ...machine?.config.metadata, "fly_vault.launch_id": `${"0".repeat(16)}-2` },
  };
  for (const tenant of ["acme", `other${escape}`]) {
    const metadata = { ...config.metadata, "fly_vault.tenant_id": tenant };
    const made = await fetch(`${on.fly.apiBase}/v1/apps/${app}/machines`, {
      method: "POST",
      headers: { authorization: `Bearer ${on.fly.apiToken}` },
      body: JSON.stringify({ config: { ...config, metadata } }),
    });
    expect(made.status).toBeLessThan(300);
  }
  const two = on.write(
    "two.toml",
    templateText.replace("machine_count = 1", "machine_count = 2").replace(/\[\[[^]*?\n\n/u, ""),
  );
  for (const words of [
    ["tenant", "list"],
    ["tenant", "list", "--wide"],
    ["tenant", "diff", "acme", "-f", two],
    ["tenant", "delete", "acme"],
    ["orphans"],
    ["doctor"],
  ]) {
    const { out, err } = await on.admin(...words);
    expect([words, /[^\P{C}\n]/u.exec(out + err)?.[0]]).toEqual([words, undefined]);
    expect([words, `${out}${err}`.includes("\nmachine 0 ")]).toEqual([words, false]);
  }
});
