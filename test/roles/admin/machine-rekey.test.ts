import { afterEach, expect, test } from "bun:test";
import { apiLimits } from "../../../src/fly/api-limits.ts";
import { putKeys, startWhenReady } from "../../../src/roles/admin/machine-rekey.ts";
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
