import { afterEach, expect, test } from "bun:test";
import { MachinesApiError } from "../../../src/fly/api-error.ts";
import { waitUntilRunning } from "../../../src/roles/admin/machine-settling.ts";
import {
  json,
  machineJson,
  scriptApi,
  type ScriptedApi,
  type SeenRequest,
} from "../../fly/scripted-api.ts";

const open: ScriptedApi[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

/** A machine that is in these states, one after the other, whenever it is read. */
function machineThatIs(...states: readonly Record<string, unknown>[]): ScriptedApi {
  let reads = 0;
  const scripted = scriptApi([
    (request: SeenRequest) => {
      if (request.path.endsWith("/wait"))
        return json({ error: "deadline_exceeded" }, { status: 408 });
      const state = states[Math.min(reads, states.length - 1)];
      reads += 1;
      return state?.["state"] === "unknown"
        ? json({ error: "machine not found" }, { status: 404 })
        : json(machineJson({ version: "V1", ...state }));
    },
  ]);
  open.push(scripted);
  return scripted;
}

const made = { id: "148e21ea7e46e8", state: "created", version: "V1" };
const settle = async ({ api }: ScriptedApi, waitMs = 60_000, stayMs = 0): Promise<unknown> =>
  waitUntilRunning(api, made, { waitMs, stayMs }).catch((error: unknown) => error);
const exited = {
  events: [{ type: "exit", timestamp: 2, request: { exit_event: { exit_code: 9 } } }],
};

test("a machine that nobody knows of yet, and rests before its first start, is waited for", async () => {
  const machine = machineThatIs(
    { state: "unknown" },
    { state: "created" },
    { state: "stopped" },
    { state: "starting" },
    { state: "started" },
  );
  expect(await settle(machine)).toMatchObject({ state: "started" });
});

test("the state of an older version is not the one that is waited for", async () => {
  const old = { state: "started", version: "V0", instance_id: "V0" };
  const late = machineThatIs(old, old, { state: "starting" }, { state: "started" });
  expect(await settle(late)).toMatchObject({ version: "V1" });
  expect(String(await settle(machineThatIs(old), 6_000))).toContain("is started after");
});

test("a first process that ended is told at once, even while Fly starts it anew", async () => {
  for (const state of ["stopped", "restarting", "started", "failed"]) {
    const machine = machineThatIs({ state, ...exited });
    const error = Object(await settle(machine, 300_000));
    expect([error.code, error.because.includes("exit code 9")]).toEqual(["FV-ADM-010", true]);
    expect(machine.seen.length).toBeLessThan(4);
  }
});

test("one that ends while it is watched is told, too", async () => {
  const machine = machineThatIs({ state: "started" }, { state: "started", ...exited });
  expect(await settle(machine, 60_000, 5_000)).toMatchObject({ code: "FV-ADM-010" });
});

test("one that never starts ends the wait in time, with the state it is in", async () => {
  for (const state of ["starting", "stopped", "hibernating"]) {
    const error = await settle(machineThatIs({ state }), 20_000);
    expect(error).toBeInstanceOf(MachinesApiError);
    expect(String(error)).toContain(`is ${state} after`);
  }
});
