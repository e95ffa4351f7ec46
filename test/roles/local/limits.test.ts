import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newMachineId, newVolumeId, ulid } from "../../../src/roles/local/identifier.ts";
import { CallLog } from "../../../src/roles/local/call-log.ts";
import { localLimits } from "../../../src/roles/local/limits.ts";
import { unusedLoopbackAddress } from "../../../src/roles/local/loopback-address.ts";
import { Pacing } from "../../../src/roles/local/pacing.ts";
import { route } from "../../../src/roles/local/router.ts";
import { StateStore } from "../../../src/roles/local/state-store.ts";
import { StateWaiters } from "../../../src/roles/local/state-waiters.ts";
import { openStage } from "./stage.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "fl-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const machineRecord = (state: string, updatedAtMs: number, at: number) => ({
  id: newMachineId(),
  app: "app-a",
  name: `m-${at}`,
  region: "iad",
  state,
  version: ulid(0),
  address: `127.64.${at >> 8}.${at & 255}`,
  config: { image: "i" },
  createdAtMs: 0,
  updatedAtMs,
  cordoned: false,
  events: [],
  restarts: 0,
  resume: false,
});

const volumeRecord = (at: number) => ({
  id: newVolumeId(),
  app: "app-a",
  name: `v_${at}`,
  region: "iad",
  state: "created",
  sizeGb: 1,
  encrypted: true,
  snapshotRetention: 5,
  createdAtMs: 0,
});

const appRecord = (at: number) => ({ name: `a-${at}`, id: at, network: "default", createdAtMs: 0 });

const list = <T>(length: number, make: (at: number) => T): T[] =>
  Array.from({ length }, (_, at) => make(at));

function writeState(parts: Record<string, unknown>): void {
  const state = {
    version: 1,
    org: { slug: "local", id: 1 },
    apps: [],
    machines: [],
    volumes: [],
    ...parts,
  };
  writeFileSync(join(dir, "state.json"), JSON.stringify(state));
}

test("machines, volumes and apps are limited", async () => {
  writeState({
    apps: list(localLimits.appsMax, (at) =>
      at === 0 ? { ...appRecord(0), name: "app-a" } : appRecord(at),
    ),
    machines: list(localLimits.machinesMax, (at) => machineRecord("stopped", 0, at)),
    volumes: list(localLimits.volumesMax, volumeRecord),
  });
  const stage = await openStage({ stateDir: dir });
  const post = async (path: string, body: unknown) =>
    (await stage.call("POST", `/v1/apps/app-a/${path}`, body)).status;
  expect(await post("machines", { config: { image: "i" } })).toBe(422);
  expect(await post("volumes", { name: "one_more" })).toBe(422);
  expect((await stage.call("GET", "/v1/apps/one-more/machines")).status).toBe(422);
  expect((await stage.call("GET", "/v1/apps/app-a/machines")).json.length).toBe(
    localLimits.machinesMax,
  );
  await stage.close();
});

test("destroyed machines are remembered for a day, and only so many", async () => {
  const nowMs = Date.now();
  const old = nowMs - localLimits.tombstoneMs - 1_000;
  writeState({
    machines: [
      ...list(3, (at) => machineRecord("destroyed", old, at)),
      ...list(localLimits.tombstonesMax + 5, (at) => machineRecord("destroyed", nowMs, at + 10)),
    ],
  });
  const stage = await openStage({ stateDir: dir });
  const all = await stage.call("GET", "/v1/apps/app-a/machines?include_deleted=true");
  expect(all.json.length).toBe(localLimits.tombstonesMax);
  expect(all.json.at(-1).name).toBe(`m-${localLimits.tombstonesMax + 5 + 9}`);
  await stage.close();
});

test("a body above the limit is refused", async () => {
  const stage = await openStage({ stateDir: dir });
  const image = "x".repeat(localLimits.requestBytesMax);
  const reply = await fetch(`${stage.server.apiBase}/v1/apps/app-a/machines`, {
    method: "POST",
    body: JSON.stringify({ config: { image } }),
    headers: { authorization: `Bearer ${stage.server.apiToken}` },
  });
  expect(reply.status).toBe(413);
  await stage.close();
});

test("waiters of one machine are limited, and each leaves when its caller does", async () => {
  const waiters = new StateWaiters();
  const gone = new AbortController();
  const waiting = list(localLimits.waitersMax, async () =>
    waiters.wait(() => false, 60_000, gone.signal),
  );
  expect(waiters.wait(() => false, 1, gone.signal)).rejects.toThrow("too many requests wait");
  gone.abort();
  expect(new Set(await Promise.all(waiting))).toEqual(new Set(["aborted"]));
  expect(await waiters.wait(() => false, 1, new AbortController().signal)).toBe("timeout");
});

test("request limits are kept for so many ids; those at rest make room", () => {
  let nowMs = 0;
  const pacing = new Pacing(() => nowMs);
  const subject = route("GET", "/v1/x/{id}", "action", () => ({ status: 200 }));
  for (let at = 0; at < localLimits.bucketsMax; at += 1) {
    pacing.check({ route: subject, params: { id: String(at) } });
  }
  const another = () => pacing.check({ route: subject, params: { id: "another" } });
  expect(another).toThrow("too many different requests");
  nowMs += 1_000;
  expect(another).not.toThrow();
});

test("an address that is taken is not given away", async () => {
  const address = await unusedLoopbackAddress(new Set());
  expect(address).toMatch(/^127\.\d+\.\d+\.\d+$/);
  const everything = { has: () => true } as unknown as ReadonlySet<string>;
  expect(unusedLoopbackAddress(everything)).rejects.toThrow("no free loopback address");
});

test("a state that cannot be written is kept in memory and written later", async () => {
  const lines: string[] = [];
  const store = StateStore.open(dir, "local", {
    log: (_, event) => lines.push(event),
  });
  store.save();
  const gone = `${dir}-away`;
  renameSync(dir, gone);
  store.state.apps.push(appRecord(1));
  store.save();
  expect(lines).toEqual(["state-not-saved"]);
  renameSync(gone, dir);
  expect(readFileSync(join(dir, "state.json"), "utf8")).not.toContain("a-1");
  store.retryUnsaved();
  expect(readFileSync(join(dir, "state.json"), "utf8")).toContain("a-1");
});

test("only so many calls are remembered, the last ones", () => {
  const calls = new CallLog();
  for (let atMs = 0; atMs <= localLimits.callsRemembered; atMs += 1)
    calls.add({ atMs, method: "GET", route: "/", params: {}, status: 200 });
  expect(calls.rows.length).toBeLessThanOrEqual(localLimits.callsRemembered);
  expect(calls.rows.at(-1)?.atMs).toBe(localLimits.callsRemembered);
});
