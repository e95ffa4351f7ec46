import { afterEach, expect, test } from "bun:test";
import { parse } from "smol-toml";
import { parseAdmissionKeys } from "../../../src/quic/admission-key.ts";
import type { FaultRule } from "./fault-proxy.ts";
import { type AdminStage, app, openAdminStage, templateText } from "./stage.ts";

let stage: AdminStage | undefined;
const open = async (rules: readonly FaultRule[] = []): Promise<AdminStage> => {
  stage = await openAdminStage(rules);
  const made = await stage.admin("proxy-key", "new", "--key-file", keyFile(stage));
  expect(made.exitCode).toBe(0);
  return stage;
};
afterEach(async () => {
  await stage?.close();
  stage = undefined;
}, 120_000);

const door = "vault.example.com:443";
const keyFile = (on: AdminStage): string => `${on.dir}/proxy.key`;
const proxyKey = async (on: AdminStage, command: string) =>
  on.admin("proxy-key", command, "--key-file", keyFile(on));
const rekey = async (on: AdminStage, ...words: readonly string[]) =>
  on.admin("tenant", "rekey", "--key-file", keyFile(on), ...words);
const create = async (on: AdminStage, tenant: string, count = 1) => {
  const text = templateText.replace("machine_count = 1", `machine_count = ${count}`);
  const template = on.write("of.toml", text);
  const made = await on.admin("tenant", "create", tenant, "--template", template);
  expect(made.exitCode).toBe(0);
};
const post = async (on: AdminStage, id: string, verb: string): Promise<void> => {
  const url = `${on.fly.apiBase}/v1/apps/${app}/machines/${id}`;
  const headers = { authorization: `Bearer ${on.fly.apiToken}` };
  const answer = await fetch(`${url}/${verb}`, { method: "POST", headers });
  expect(answer.ok).toBe(true);
};
const epochsOf = (text: string | undefined): number[] =>
  text === undefined ? [] : parseAdmissionKeys(text).map(({ epoch }) => epoch);
const epochs = async (on: AdminStage) =>
  (await on.machines()).map(({ config }) => epochsOf(config.env["VAULT_ADMISSION_KEY"]));
type Vaults = Record<string, Record<string, string>>;
const vaultsOf = (out: string) => (parse(out) as { vault: Vaults }).vault;

test("a tenant made without a proxy gets keys, one machine after the other, and entries", async () => {
  const on = await open();
  await create(on, "acme", 2);
  await create(on, "zeta");
  const before = await on.machines();
  const { exitCode, out, err } = await rekey(on, "acme", "--proxy", door);
  expect([exitCode, err]).toEqual([0, expect.stringContaining("has its new keys, and runs")]);
  expect(err).not.toContain("fva1_");
  expect(await epochs(on)).toEqual([[0], [0], []]);
  const vaults = vaultsOf(out);
  expect(Object.keys(vaults)).toEqual(["acme-1", "acme-2"]);
  const after = await on.machines();
  expect(after.map(({ state }) => state)).toEqual(["started", "started", "started"]);
  expect(vaults["acme-2"]).toMatchObject({
    address: door,
    org: "local",
    app,
    machine_id: after[1]?.id ?? "",
    access_token: before[1]?.config.env["ACCESS_TOKEN"] ?? "",
    admission_key: after[1]?.config.env["VAULT_ADMISSION_KEY"] ?? "",
    issuer: on.fly.issuer,
  });
  // All of the configuration is there as it was, but for the key.
  for (const [at, { config }] of after.entries()) {
    const { VAULT_ADMISSION_KEY: _, ...env } = config.env;
    expect({ ...config, env }).toEqual(before[at]?.config ?? config);
    expect(JSON.stringify(config.metadata)).not.toContain("fva1_");
  }
  const calls = on.proxy.calls.filter((call) => /lease|POST \/machines\/\*$|wait/.test(call));
  expect(calls.slice(-4)).toEqual([
    "POST /machines/*/lease",
    "POST /machines/*",
    "GET /machines/*/wait",
    "DELETE /machines/*/lease",
  ]);
});

test("the whole rotation: both keys while two are live, then the new one alone", async () => {
  const on = await open();
  await create(on, "acme");
  await create(on, "zeta");
  expect((await rekey(on, "--all-tenants")).exitCode).toBe(0);
  await proxyKey(on, "rotate");
  const both = await rekey(on, "--all-tenants", "--json");
  expect(await epochs(on)).toEqual([
    [1, 0],
    [1, 0],
  ]);
  const { schema, data } = JSON.parse(both.out);
  expect(schema).toBe("fly-vault/tenant-rekey");
  expect(data.map((row: { vault: string }) => row.vault)).toEqual(["acme", "zeta"]);
  for (const { admission_key } of data) expect(epochsOf(admission_key)).toEqual([1]);
  await proxyKey(on, "retire");
  expect((await rekey(on, "--all-tenants")).exitCode).toBe(0);
  expect(await epochs(on)).toEqual([[1], [1]]);
});

test("machines that have the keys are left alone, and their entries printed again", async () => {
  const on = await open();
  await create(on, "acme");
  const first = await rekey(on, "acme");
  const again = await rekey(on, "acme");
  expect([again.exitCode, again.out]).toEqual([0, first.out]);
  expect(again.err).toContain("has these keys already");
  expect(on.proxy.calls.filter((call) => call === "POST /machines/*").length).toBe(1);
  expect(vaultsOf(again.out)["acme"]?.["address"]).toMatch(/^127\./);
});

test("what does not run stays so", async () => {
  const on = await open();
  await create(on, "acme", 2);
  const [stopped, suspended] = await on.machines();
  await post(on, stopped?.id ?? "", "stop");
  await post(on, suspended?.id ?? "", "suspend");
  expect((await rekey(on, "acme")).exitCode).toBe(0);
  const states = async () => (await on.machines()).map(({ state }) => state);
  // What does not run is not waited for.
  while ((await states()).includes("replacing")) await Bun.sleep(10);
  expect(await states()).toEqual(["stopped", "stopped"]);
  expect(await epochs(on)).toEqual([[0], [0]]);
});

test("a failure stops, says what is done and what is not, and the next run goes on", async () => {
  const on = await open([{ on: "POST /machines/*", nth: 2, fault: "403" }]);
  await create(on, "acme", 3);
  const ids = (await on.machines()).map(({ id }) => id);
  const first = await rekey(on, "acme");
  expect(first.exitCode).toBe(8);
  expect(first.err).toContain(`machine ${ids[1]} did not get its keys`);
  expect(first.err).toContain(`done: ${ids[0]}; not done: ${ids[1]}, ${ids[2]}`);
  expect(Object.keys(vaultsOf(first.out))).toEqual(["acme-1"]);
  expect(await epochs(on)).toEqual([[0], [], []]);
  const second = await rekey(on, "acme");
  expect(second.exitCode).toBe(0);
  expect(await epochs(on)).toEqual([[0], [0], [0]]);
  expect(on.proxy.calls.filter((call) => call === "POST /machines/*").length).toBe(4);
});

test("an update whose answer is lost is not done twice, nor one of a version that has gone", async () => {
  const on = await open([
    { on: "POST /machines/*", nth: 1, fault: "answer-lost" },
    { on: "POST /machines/*", nth: 2, fault: "409" },
  ]);
  await create(on, "acme", 2);
  expect((await rekey(on, "acme")).exitCode).toBe(0);
  expect(await epochs(on)).toEqual([[0], [0]]);
  expect(on.proxy.calls.filter((call) => call === "POST /machines/*").length).toBe(3);
}, 120_000);

test("somebody else's lease is respected", async () => {
  const on = await open();
  await create(on, "acme");
  const [machine] = await on.machines();
  const id = machine?.id ?? "";
  await post(on, id, "lease?ttl=60");
  const held = await rekey(on, "acme");
  expect([held.exitCode, held.err.includes("lease currently held")]).toEqual([8, true]);
  expect(await epochs(on)).toEqual([[]]);
});

test("Ctrl-C gives the lease back, and the next run goes on", async () => {
  const on = await open();
  await create(on, "acme");
  const call = "GET /machines/*/wait";
  const nth = on.proxy.calls.filter((each) => each === call).length + 1;
  const strike = (): void => run.context.stop("SIGINT");
  on.rules.push({ on: call, nth, fault: "answer-lost", strike });
  const run = on.start("tenant", "rekey", "acme", "--key-file", keyFile(on));
  expect(await run.exit).toBe(130);
  expect(on.proxy.calls.at(-1)).toBe("DELETE /machines/*/lease");
  expect((await rekey(on, "acme")).exitCode).toBe(0);
});

test("wrong words: exit 2 or 3, a reason, and nothing sent", async () => {
  const on = await open();
  for (const [words, exitCode, message] of [
    [[], 2, "name one TENANT, or say --all-tenants"],
    [["acme", "--all-tenants"], 2, "name one TENANT, or say --all-tenants"],
    [["Acme"], 2, "is no tenant id"],
    [["acme", "--proxy", "here"], 2, "HOST:PORT"],
    [["acme", "--key-file", "/nonexistent/key"], 2, "no such file"],
  ] as const) {
    const ran = await rekey(on, ...words);
    expect([words, ran.exitCode, ran.out]).toEqual([words, exitCode, ""]);
    expect(ran.err).toContain(message);
  }
  expect(on.proxy.calls).toEqual([]);
  const missing = await rekey(on, "acme");
  expect([missing.exitCode, missing.err.includes("FV-ADM-002")]).toEqual([3, true]);
  const nobody = await rekey(on, "--all-tenants", "--json");
  expect([nobody.exitCode, JSON.parse(nobody.out).data]).toEqual([0, []]);
});

test("words that a script left empty are wrong, and mean neither all tenants nor no proxy", async () => {
  const on = await open();
  await create(on, "acme");
  const [nobody, nowhere] = [await rekey(on, ""), await rekey(on, "acme", "--proxy", "")];
  expect([nobody.exitCode, nobody.out]).toEqual([2, ""]);
  expect([nowhere.exitCode, nowhere.out]).toEqual([2, ""]);
  expect(nowhere.err).toContain("--proxy takes HOST:PORT");
  expect(await epochs(on)).toEqual([[]]);
});
