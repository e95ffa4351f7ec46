import { afterEach, expect, test } from "bun:test";
import { apiLimits } from "../../../src/fly/api-limits.ts";
import { putKeys, rekeyMachine, startWhenReady } from "../../../src/roles/admin/machine-rekey.ts";
import { json, machineJson, scriptApi, type ScriptedApi } from "../../fly/scripted-api.ts";

const open: ScriptedApi[] = [];
const script = (...given: Parameters<typeof scriptApi>): ScriptedApi => {
  const scripted = scriptApi(...given);
  open.push(scripted);
  return scripted;
};
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

const id = "148e21ea7e46e8";
const busy = () => json({ error: "failed_precondition: still preparing" }, { status: 412 });

test("a machine that is never ready to start is asked for a minute, and no longer", async () => {
  const { api, slept } = script([
    ({ method }) => (method === "POST" ? busy() : json(machineJson({ state: "created" }))),
  ]);
  const failure = await startWhenReady(api, id, {}).catch((problem: unknown) => problem);
  expect(failure).toMatchObject({ kind: "conflict" });
  const pauses = slept.filter((ms) => ms === apiLimits.startRetryPauseMs);
  expect(pauses.length).toBe(apiLimits.startRetryMs / apiLimits.startRetryPauseMs - 1);
});

test("members that Fly has invented since go back as they came", async () => {
  const config = { image: "i", env: { A: "1" }, surprise: { deep: [1] } };
  const { api, seen } = script([json(machineJson({ config, version: "V2" }))]);
  const machine = { id, state: "stopped", version: "V1", config };
  await putKeys(api, machine, "keys", { skipLaunch: true });
  expect(JSON.parse(seen[0]?.body ?? "")).toEqual({
    config: { ...config, env: { A: "1", VAULT_ADMISSION_KEY: "keys" } },
    current_version: "V1",
    skip_launch: true,
  });
});

test("without the configuration nothing is sent: what is left out would be removed", async () => {
  const { api, seen } = script([json(machineJson({ incomplete_config: { image: "i" } }))]);
  const failure = await putKeys(api, { id, state: "started" }, "keys", {
    skipLaunch: false,
  }).catch((problem: unknown) => problem);
  expect(failure).toMatchObject({ kind: "unavailable" });
  expect(seen.filter(({ method }) => method === "POST")).toEqual([]);
});

test("a machine that has gone since it was listed is passed over", async () => {
  const wanted = { keys: "keys", waitMs: 0 };
  const missing = script([json({ error: "not found" }, { status: 404 })]);
  const destroyed = script([json(machineJson({ state: "destroyed" }))]);
  for (const { api, seen } of [missing, destroyed]) {
    expect(await rekeyMachine(api, id, wanted)).toEqual({ machine: undefined, words: "is gone" });
    expect(seen.length).toBe(1);
  }
});

test("the lease is given back whatever happens, and its end hides no failure", async () => {
  const config = { image: "i", env: {} };
  const { api, seen } = script([
    json(machineJson({ config })),
    json({ nonce: "n1" }, { status: 201 }),
    json(machineJson({ config })),
    json({ error: "no" }, { status: 403 }),
    json({ error: "no" }, { status: 403 }),
  ]);
  const failure = await rekeyMachine(api, id, { keys: "keys", waitMs: 0 }).catch(
    (problem: unknown) => problem,
  );
  expect(failure).toMatchObject({ action: "update machine" });
  expect(seen.map(({ method }) => method)).toEqual(["GET", "POST", "GET", "POST", "DELETE"]);
  expect(seen.at(-1)?.headers.get("fly-machine-lease-nonce")).toBe("n1");
});
