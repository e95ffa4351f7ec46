import { afterEach, expect, test } from "bun:test";
import type { FlyMachine, FlyVolume } from "../../../src/fly/machine-shape.ts";
import { findOrphans } from "../../../src/roles/admin/orphan-finding.ts";
import { removable, removeOrphans } from "../../../src/roles/admin/orphan-removal.ts";
import { orphansCommand } from "../../../src/roles/admin/orphans.ts";
import { runProgram } from "../../../src/cli/program.ts";
import { memoryContext } from "../../support/memory-context.ts";
import { json, type ScriptedApi, scriptApi } from "../../fly/scripted-api.ts";
import { type AdminStage, app, openAdminStage } from "./stage.ts";
import { jsonOutputs } from "../../../src/roles/admin/json-outputs.ts";
import { checkPrintedJson } from "../../support/printed-json.ts";

const nowMs = Date.parse("2026-11-20T00:00:00Z");
const old = "2026-11-01T00:00:00Z";
const young = "2026-11-19T23:50:00Z";
const machine = (id: string, tenant: string | undefined, more: Partial<FlyMachine> = {}) => ({
  id,
  state: "started",
  created_at: old,
  config: {
    metadata: {
      "fly_vault.managed_by": "fly-vault-admin",
      ...(tenant === undefined ? {} : { "fly_vault.tenant_id": tenant }),
    },
  },
  ...more,
});
const withVolume = (of: FlyMachine, volume: string): FlyMachine => ({
  ...of,
  config: { ...of.config, mounts: [{ volume }] },
});
const volume = (id: string, more: Partial<FlyVolume> = {}) => ({
  id,
  state: "created",
  size_gb: 10,
  created_at: old,
  attached_machine_id: null,
  ...more,
});
const found = (machines: readonly FlyMachine[], volumes: readonly FlyVolume[] = []) =>
  findOrphans({ machines, volumes, nowMs });
const kinds = (...of: Parameters<typeof found>) =>
  found(...of).map(({ kind, id, isDeletable, isYoung }) =>
    [kind, id, isDeletable && !isYoung ? "goes" : "stays"].join(" "),
  );

test("what a tenant owns is no orphan, and neither is what has gone", () => {
  const acme = withVolume(machine("a1", "acme"), "vol_1");
  const volumes = [
    volume("vol_1"),
    volume("vol_2", { attached_machine_id: "a1" }),
    volume("vol_3", { state: "pending_destroy" }),
  ];
  expect(kinds([acme, machine("a2", undefined, { state: "destroyed" })], volumes)).toEqual([]);
});

test("machines without a tenant, of others, cordoned, leased", () => {
  const soon = { lease: { expires_at: nowMs / 1_000 + 60 } };
  const over = { lease: { expires_at: nowMs / 1_000 - 60 } };
  expect(
    kinds([
      machine("a1", undefined),
      machine("a2", "", { created_at: young }),
      machine("a3", "acme", { config: {} }),
      machine("a4", "acme", { cordoned: true, ...soon }),
      machine("a5", "acme", { ...over }),
      machine("a6", "acme", { lease: "?" }),
    ]),
  ).toEqual([
    "machine-without-tenant a1 goes",
    "machine-without-tenant a2 stays",
    "machine-of-others a3 stays",
    "machine-cordoned a4 stays",
    "machine-leased a4 stays",
  ]);
});

test("volumes attached to nothing, to what is gone, to what no tenant owns; and their tenants", () => {
  const gone = withVolume(machine("a9", "zeta", { state: "destroyed" }), "vol_2");
  const stranger = machine("a2", undefined);
  const orphans = found(
    [machine("a1", "acme"), stranger, gone],
    [
      volume("vol_1"),
      volume("vol_2", { attached_machine_id: "a9", size_gb: 7 }),
      volume("vol_3", { attached_machine_id: "a2" }),
      volume("vol_4", { created_at: young }),
      volume("vol_5", { created_at: null }),
    ],
  );
  expect(orphans.map(({ kind, id, tenant }) => [kind, id, tenant])).toEqual([
    ["machine-without-tenant", "a2", undefined],
    ["volume-unattached", "vol_1", undefined],
    ["volume-of-missing-machine", "vol_2", "zeta"],
    ["volume-without-tenant", "vol_3", undefined],
    ["volume-unattached", "vol_4", undefined],
    ["volume-unattached", "vol_5", undefined],
    ["tenant-without-machines", "zeta", "zeta"],
  ]);
  expect(orphans.at(-1)?.gib).toBe(7);
  expect(removable(orphans).map(({ id }) => id)).toEqual(["a2", "vol_1", "vol_2"]);
});

test("a host that does not answer makes no orphans, and nothing is removed meanwhile", () => {
  const silent = machine("a1", "acme", { config: null, incomplete_config: null });
  expect(kinds([silent], [volume("vol_1", { attached_machine_id: "a1" })])).toEqual([]);
  expect(kinds([silent], [volume("vol_2")])).toEqual(["volume-unattached vol_2 stays"]);
});

const scripted: ScriptedApi[] = [];
let stage: AdminStage | undefined;
afterEach(async () => {
  await Promise.all(scripted.splice(0).map(async (each) => each.close()));
  await stage?.close();
  stage = undefined;
}, 120_000);

test("what has an owner by the time it would go stays, by a list or by its own word", async () => {
  const agreed = removable(
    found(
      [machine("a1", undefined), machine("a2", undefined)],
      [
        volume("vol_1"),
        volume("vol_2", { attached_machine_id: "a8" }),
        volume("vol_3", { attached_machine_id: "a9" }),
      ],
    ),
  );
  expect(agreed.length).toBe(5);
  const script = scriptApi([
    ({ method, path }) => {
      const [, , , , kind, id] = path.split("/");
      if (method === "DELETE") return json({});
      if (id === "a9") return json({ error: "not found" }, { status: 404 });
      if (id !== undefined) return json(machine(id, id === "a1" ? undefined : "acme"));
      if (kind === "machines") return json([machine("a1", undefined), machine("a2", undefined)]);
      return json([
        volume("vol_1", { attached_machine_id: "a1" }),
        volume("vol_2", { attached_machine_id: "a8" }),
        volume("vol_3", { attached_machine_id: "a9" }),
      ]);
    },
  ]);
  scripted.push(script);
  const notes: string[] = [];
  const left = await removeOrphans(script.api, agreed, {
    nowMs: () => nowMs,
    note: async (line) => void notes.push(line),
  });
  expect(left).toEqual([]);
  expect(notes).toEqual([
    "removed machine a1",
    "machine a2 has an owner now, and stays",
    "volume vol_1 has an owner now, and stays",
    "volume vol_2 has an owner now, and stays",
    "removed volume vol_3",
  ]);
  const deleted = script.seen.filter(({ method }) => method === "DELETE");
  expect(deleted.map(({ path }) => path.split("/").at(-1))).toEqual(["a1", "vol_3"]);
});

test("what cannot be read when it is to be removed stays, and a volume is its present machine's", async () => {
  const agreed = removable(found([machine("a1", undefined)], [volume("vol_1")]));
  expect(agreed.map(({ id }) => id)).toEqual(["a1", "vol_1"]);
  const script = scriptApi([
    ({ method, path }) => {
      if (method === "DELETE") return json({});
      if (path.endsWith("/volumes")) return json([volume("vol_1", { attached_machine_id: "b2" })]);
      if (path.endsWith("/machines")) return json([machine("a1", undefined)]);
      // Its host went away meanwhile; and the list does not have the other one yet.
      if (path.endsWith("/a1")) return json({ ...machine("a1", undefined), config: null });
      return json(machine("b2", "acme"));
    },
  ]);
  scripted.push(script);
  const options = { nowMs: () => nowMs, note: async () => undefined };
  expect(await removeOrphans(script.api, agreed, options)).toEqual([]);
  expect(script.seen.filter(({ method }) => method === "DELETE")).toEqual([]);
});

/** The command over a scripted app with one machine and one volume of nobody. */
const overScript = (
  refuses: boolean,
  options: { readonly tty?: boolean; readonly typed?: string },
) => {
  const script = scriptApi([
    ({ method, path }) => {
      if (method === "DELETE") return refuses ? json({ error: "no" }, { status: 403 }) : json({});
      const [, , , , kind, id] = path.split("/");
      if (id !== undefined) return json(machine("a1", undefined));
      return json(kind === "machines" ? [machine("a1", undefined)] : [volume("vol_1")]);
    },
  ]);
  scripted.push(script);
  const context = memoryContext({
    env: { FLY_API_BASE: script.base, FLY_API_TOKEN: "plain-oauth-token", FLY_APP: "app-a" },
    tty: options.tty ?? false,
    stdin: [Buffer.from(options.typed ?? "")],
    columns: 200,
  });
  const run = async (...words: readonly string[]): Promise<number> => {
    const exitCode = await runProgram(
      { name: "fly-vault-admin", summary: "x", commands: [orphansCommand] },
      ["orphans", ...words],
      { ...context, wallMs: () => nowMs },
    );
    checkPrintedJson(jsonOutputs, ["orphans", ...words], context.out());
    return exitCode;
  };
  const deletions = () => script.seen.filter(({ method }) => method === "DELETE").length;
  return { context, run, deletions };
};

test("told with age and size, as a table and as JSON; nothing is removed", async () => {
  const { context, run, deletions } = overScript(false, {});
  expect(await run()).toBe(0);
  expect(context.out()).toBe(
    [
      "KIND     ID     NAME  TENANT  AGE   GIB/MONTH  NOTE",
      "machine  a1     -     -       19 d  -          made by us, for no tenant",
      "volume   vol_1  -     -       19 d  10         attached to nothing",
      "",
      "1 machine and 1 volume (10 GiB); 10 GiB are paid for each month",
      "",
    ].join("\n"),
  );
  const second = overScript(false, {});
  expect(await second.run("--json")).toBe(0);
  expect(JSON.parse(second.context.out())).toMatchObject({
    schema: "fly-vault/orphans",
    version: 1,
    data: [
      { kind: "machine-without-tenant", id: "a1", monthly_gib: null, is_deletable: true },
      { kind: "volume-unattached", id: "vol_1", monthly_gib: 10, age_ms: 19 * 86_400_000 },
    ],
  });
  expect(deletions() + second.deletions()).toBe(0);
});

test("removed only after the app's name was typed, or --yes", async () => {
  for (const [options, words, exitCode, deletions, message] of [
    [{}, ["--delete"], 2, 0, "there is no terminal to ask on"],
    [{ tty: true, typed: "yes\n" }, ["--delete"], 2, 0, "was not typed"],
    [{ tty: true, typed: "" }, ["--delete"], 2, 0, "was not typed"],
    [{ tty: true, typed: "app-a\n" }, ["--delete"], 0, 2, "removed volume vol_1"],
    [{}, ["--delete", "-y"], 0, 2, "removed machine a1"],
    [{}, ["--delete", "--yes", "--json"], 0, 2, "removed machine a1"],
    [{}, ["--yes"], 2, 0, "--yes needs --delete"],
    [{ tty: true }, ["--delete", "--json"], 2, 0, "needs --yes"],
  ] as const) {
    const ran = overScript(false, options);
    expect([words, await ran.run(...words), ran.deletions()]).toEqual([words, exitCode, deletions]);
    expect(ran.context.err()).toContain(message);
  }
  const asked = overScript(false, { tty: true, typed: "app-a\r\n" });
  await asked.run("--delete");
  expect(asked.context.err()).toContain(
    'type "app-a" to remove 1 machine and 1 volume (10 GiB) with all data: ',
  );
});

test("what could not be removed is named, and exit 8", async () => {
  const { context, run } = overScript(true, {});
  expect(await run("--delete", "--yes")).toBe(8);
  expect(context.err()).toMatch(/machine a1: .*; volume vol_1: /);
});

test("against fly-local: what was left cordoned and leased, and a lone volume, are found", async () => {
  stage = await openAdminStage();
  const on = stage;
  const none = await on.admin("orphans");
  expect([none.exitCode, none.out, none.err]).toEqual([0, "", `no orphans in app "${app}"\n`]);
  await on.admin("tenant", "create", "acme", "--template", on.template);
  const [row] = await on.machines();
  const url = `${on.fly.apiBase}/v1/apps/${app}`;
  const headers = {
    authorization: `Bearer ${on.fly.apiToken}`,
    "content-type": "application/json",
  };
  const post = async (path: string, body: unknown) =>
    fetch(url + path, { method: "POST", headers, body: JSON.stringify(body) });
  await post("/volumes", { name: "lone", region: "ord", size_gb: 3 });
  await post(`/machines/${row?.id}/cordon`, {});
  await post(`/machines/${row?.id}/lease`, { ttl: 60 });
  const { out } = await on.admin("tenant", "orphans", "--json");
  const { data } = JSON.parse(out);
  expect(data.map(({ kind }: { kind: string }) => kind)).toEqual([
    "machine-cordoned",
    "machine-leased",
    "volume-unattached",
  ]);
  // It was made just now.
  const { err } = await on.admin("orphans", "--delete", "--yes");
  expect([err, (await on.volumes()).length]).toEqual(["nothing to be removed\n", 2]);
});
