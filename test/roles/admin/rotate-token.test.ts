import { afterEach, expect, test } from "bun:test";
import { parse } from "smol-toml";
import { tokenStrength } from "../../../src/fly/token.ts";
import type { FlyMachine } from "../../../src/fly/machine-shape.ts";
import { keepsToken, planRotation } from "../../../src/roles/admin/token-rotation.ts";
import type { FaultRule } from "./fault-proxy.ts";
import { type AdminStage, app, openAdminStage, templateText } from "./stage.ts";

let stage: AdminStage | undefined;
const open = async (rules: readonly FaultRule[] = []): Promise<AdminStage> => {
  stage = await openAdminStage(rules);
  return stage;
};
afterEach(async () => {
  await stage?.close();
  stage = undefined;
}, 120_000);

const create = async (on: AdminStage, tenant: string, count = 1): Promise<void> => {
  const text = templateText.replace("machine_count = 1", `machine_count = ${count}`);
  const made = await on.admin("tenant", "create", tenant, "--template", on.write("t.toml", text));
  expect(made.exitCode).toBe(0);
};
const rotate = async (on: AdminStage, ...words: readonly string[]) =>
  on.admin("tenant", "rotate-token", ...words);
const post = async (on: AdminStage, id: string, verb: string): Promise<void> => {
  const url = `${on.fly.apiBase}/v1/apps/${app}/machines/${id}/${verb}`;
  const headers = { authorization: `Bearer ${on.fly.apiToken}` };
  expect((await fetch(url, { method: "POST", headers })).ok).toBe(true);
};
const tokens = async (on: AdminStage): Promise<(string | undefined)[]> =>
  (await on.machines()).map(({ config }) => config.env["ACCESS_TOKEN"]);
type Vaults = Record<string, Record<string, string>>;
const vaultsOf = (out: string) => (parse(out) as { vault: Vaults }).vault;
const updates = (on: AdminStage): number =>
  on.proxy.calls.filter((call) => call === "POST /machines/*").length;

test("all machines of a tenant get one new token and start anew; the entries have it", async () => {
  const on = await open();
  await create(on, "acme", 2);
  await create(on, "zeta");
  const before = await on.machines();
  const { exitCode, out, err } = await rotate(on, "acme", "--proxy", "vault.example.com:443");
  expect([exitCode, err]).toEqual([0, expect.stringContaining("new token, and runs with it")]);
  const after = await on.machines();
  const [one = "", two, other] = after.map(({ config }) => config.env["ACCESS_TOKEN"]);
  expect([two, other]).toEqual([one, before[2]?.config.env["ACCESS_TOKEN"]]);
  expect([tokenStrength(one), one === before[0]?.config.env["ACCESS_TOKEN"]]).toEqual([
    "strong",
    false,
  ]);
  expect(err).not.toContain(one);
  const vaults = vaultsOf(out);
  expect(Object.keys(vaults)).toEqual(["acme-1", "acme-2"]);
  expect(vaults["acme-2"]).toMatchObject({
    address: "vault.example.com:443",
    machine_id: after[1]?.id ?? "",
    access_token: one,
    org: "local",
  });
  // All of the configuration is there as it was, but for the token and its mark.
  for (const [at, { config }] of after.entries()) {
    const old = before[at]?.config ?? config;
    const mark = config.metadata["fly_vault.token_successor"] ?? "";
    if (at < 2) expect(mark).toMatch(/^[0-9a-f]{32}$/);
    const metadata = at < 2 ? { "fly_vault.token_successor": mark } : {};
    expect(config).toEqual({
      ...old,
      env: { ...old.env, ACCESS_TOKEN: config.env["ACCESS_TOKEN"] ?? "" },
      metadata: { ...old.metadata, ...metadata },
    });
    expect(JSON.stringify(config.metadata)).not.toContain(config.env["ACCESS_TOKEN"]);
  }
  expect(on.proxy.calls.at(-1)).toBe("DELETE /machines/*/lease");
  // Another time, another token.
  const again = await rotate(on, "acme", "--json");
  const { schema, data } = JSON.parse(again.out);
  expect([schema, data.length]).toEqual(["fly-vault/tenant-rotate-token", 2]);
  expect(data[0].access_token).not.toBe(one);
  expect((await tokens(on)).slice(0, 2)).toEqual([data[0].access_token, data[1].access_token]);
});

test("what does not run stays so", async () => {
  const on = await open();
  await create(on, "acme", 2);
  const [stopped, suspended] = await on.machines();
  await post(on, stopped?.id ?? "", "stop");
  await post(on, suspended?.id ?? "", "suspend");
  const { exitCode, out } = await rotate(on, "acme");
  expect(exitCode).toBe(0);
  const states = async () => (await on.machines()).map(({ state }) => state);
  while ((await states()).includes("replacing")) await Bun.sleep(10);
  expect(await states()).toEqual(["stopped", "stopped"]);
  const token = vaultsOf(out)["acme-1"]?.["access_token"];
  expect(await tokens(on)).toEqual([token, token]);
});

test("a rotation that broke off goes on with its token, and touches no machine twice", async () => {
  const on = await open([{ on: "POST /machines/*", nth: 2, fault: "403" }]);
  await create(on, "acme", 3);
  const old = (await tokens(on))[0];
  const first = await rotate(on, "acme");
  expect([first.exitCode, Object.keys(vaultsOf(first.out))]).toEqual([8, ["acme-1"]]);
  const ids = (await on.machines()).map(({ id }) => id);
  expect(first.err).toContain(`done: ${ids[0]}; not done: ${ids[1]}, ${ids[2]}`);
  const given = vaultsOf(first.out)["acme-1"]?.["access_token"] ?? "";
  expect(await tokens(on)).toEqual([given, old, old]);
  const second = await rotate(on, "acme");
  expect([second.exitCode, await tokens(on)]).toEqual([0, [given, given, given]]);
  expect(second.err).toContain("an earlier rotation broke off");
  expect(Object.keys(vaultsOf(second.out))).toEqual(["acme-1", "acme-2", "acme-3"]);
  expect(updates(on)).toBe(4);
});

test("a lost answer and a lost race are made good, and somebody's lease is respected", async () => {
  const on = await open([
    { on: "POST /machines/*", nth: 1, fault: "answer-lost" },
    { on: "POST /machines/*", nth: 2, fault: "409" },
  ]);
  await create(on, "acme", 2);
  const { exitCode, out } = await rotate(on, "acme");
  const token = vaultsOf(out)["acme-2"]?.["access_token"];
  expect([exitCode, await tokens(on), updates(on)]).toEqual([0, [token, token], 3]);
  const [machine] = await on.machines();
  await post(on, machine?.id ?? "", "lease?ttl=60");
  const held = await rotate(on, "acme");
  expect([held.exitCode, held.out, held.err.includes("lease currently held")]).toEqual([
    8,
    "",
    true,
  ]);
  expect(await tokens(on)).toEqual([token, token]);
}, 120_000);

test("a token of one's own is taken from a file, and given twice changes nothing", async () => {
  const on = await open();
  await create(on, "acme");
  const file = on.write("token", "words-of-my-own-quite-long\n");
  const first = await rotate(on, "acme", "--access-token-file", file);
  expect([first.exitCode, first.err.includes("may be guessed")]).toEqual([0, true]);
  expect(await tokens(on)).toEqual(["words-of-my-own-quite-long"]);
  const again = await rotate(on, "acme", "--access-token-file", file);
  expect([again.out, updates(on)]).toEqual([first.out, 1]);
  expect(again.err).toContain("has the new token already");
});

const key = (out: string): string | undefined => vaultsOf(out)["acme"]?.["admission_key"];

test("an entry keeps the machine's newest admission key", async () => {
  const on = await open();
  await create(on, "acme");
  const keyFile = `${on.dir}/proxy.key`;
  await on.admin("proxy-key", "new", "--key-file", keyFile);
  await on.admin("proxy-key", "rotate", "--key-file", keyFile);
  const keyed = await on.admin("tenant", "rekey", "acme", "--key-file", keyFile);
  const rotated = await rotate(on, "acme");
  expect([key(rotated.out), key(keyed.out)?.startsWith("fva1_1_")]).toEqual([key(keyed.out), true]);
});

test("wrong words, and tenants that are not there", async () => {
  const on = await open();
  for (const [words, exitCode, message] of [
    [[], 2, "TENANT"],
    [["Acme"], 2, "is no tenant id"],
    [["acme", "--proxy", "here"], 2, "HOST:PORT"],
    [["acme", "--proxy", ""], 2, "HOST:PORT"],
    [["acme", "--access-token-file", "/nonexistent/token"], 2, "cannot be read"],
    [["acme"], 3, "FV-ADM-002"],
  ] as const) {
    const ran = await rotate(on, ...words);
    expect([words, ran.exitCode, ran.out]).toEqual([words, exitCode, ""]);
    expect(ran.err).toContain(message);
  }
});

const machineOf = (token: string | undefined, mark?: string): FlyMachine => ({
  id: `of-${token}`,
  state: "started",
  config: {
    env: token === undefined ? {} : { ACCESS_TOKEN: token },
    metadata: mark === undefined ? {} : { "fly_vault.token_successor": mark },
  },
});
const planned = (machines: readonly FlyMachine[], given?: string, fresh = "fresh") => {
  const { token, change, isResumed } = planRotation(machines, { given, fresh: () => fresh });
  return { token, mark: change.metadata?.["fly_vault.token_successor"], isResumed };
};

test("planRotation goes on only where a rotation broke off", () => {
  const a = machineOf("a");
  const { token, mark, isResumed } = planned([a, a], undefined, "b");
  expect([token, isResumed]).toEqual(["b", false]);
  const b = machineOf("b", mark);
  expect(planned([a, b, a])).toEqual({ token: "b", mark, isResumed: true });
  expect(planned([b, a])).toEqual({ token: "b", mark, isResumed: true });
  expect(planned([b, b])).toMatchObject({ token: "fresh", isResumed: false });
  // A token that was chosen leaves no mark; where it is on one machine, the others follow.
  expect(planned([a, b], "c")).toEqual({ token: "c", mark: undefined, isResumed: false });
  expect(planned([a, machineOf("c")], "c")).toMatchObject({ token: "c" });
  expect(() => planned([a, machineOf(undefined)])).toThrow("has no token");
  expect(() => planned([{ id: "a", state: "started" }])).toThrow("has no token");
});

test("a machine that claims to be another tenant's neither gets its token nor gives it its own", () => {
  const a = machineOf("a");
  const { mark } = planned([a], undefined, "b");
  const broken = [a, machineOf("b", mark)];
  // What it can know: its own token, and all metadata of the organisation.
  const claims = [
    undefined,
    "",
    mark,
    "f".repeat(32),
    planned([machineOf("evil")], undefined, "evil").mark,
  ];
  for (const claim of claims) {
    const evil = machineOf("evil", claim);
    for (const machines of [
      [a, evil],
      [evil, a],
      [...broken, evil],
      [evil, ...broken],
    ])
      for (const given of [undefined, "c"])
        expect(() => planned(machines, given)).toThrow("different access tokens");
  }
});

test("keepsToken sees the token elsewhere in the configuration", () => {
  const env = { ACCESS_TOKEN: "secret", OTHER: "Bearer secret" };
  expect(keepsToken({ id: "a", state: "started", config: { env } })).toBe(true);
  expect(keepsToken(machineOf("secret"))).toBe(false);
  expect(keepsToken({ id: "a", state: "started" })).toBe(false);
});

test("two rotations at once: nobody is shown a token that the machine does not have", async () => {
  let other: string | undefined;
  const strike = async (): Promise<void> => {
    if (other !== undefined) return;
    other = "";
    other = (await rotate(on, "acme")).out;
  };
  const on = await open();
  await create(on, "acme", 1);
  on.rules.push({ on: "POST /machines/*/lease", nth: 1, fault: "none", strike });
  const result = await rotate(on, "acme");
  const [token = "none"] = await tokens(on);
  expect([other?.includes(token), result.out.includes("fvt1_"), result.exitCode]).toEqual([
    true,
    false,
    8,
  ]);
  expect(result.err).toContain("changed meanwhile");
  const again = await rotate(on, "acme");
  expect([again.exitCode, again.out.includes((await tokens(on))[0] ?? "none")]).toEqual([0, true]);
});
