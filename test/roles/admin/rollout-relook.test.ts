import { expect, test } from "bun:test";
import { MachinesApiError } from "../../../src/fly/api-error.ts";
import type { FlyMachine } from "../../../src/fly/machine-shape.ts";
import type { MachineUpdate } from "../../../src/fly/machine-wish.ts";
import { type RolloutApi, RolloutFleet } from "../../../src/roles/admin/rollout-fleet.ts";
import { SimulatedFleet } from "./simulated-fleet.ts";
import { seededRandom } from "../../support/seed.ts";
import { VirtualTime } from "../../support/virtual-time.ts";

const id = "m1";
const image = "registry.fly.io/app/init:v2";
const machine = (metadata: Record<string, string>, more: Partial<FlyMachine> = {}): FlyMachine => ({
  id,
  state: "started",
  version: "1",
  config: { image: "old", env: { KEPT: "1" }, metadata },
  ...more,
});
const call = { kind: "update", nonce: "n", image, version: "1", launch: true } as const;

const shakeHands = async (): Promise<void> => undefined;

/** What is sent when the machine reads like this, one after the other. */
async function sent(reads: readonly (FlyMachine | Error)[]): Promise<MachineUpdate | undefined> {
  let wish: MachineUpdate | undefined;
  const left = [...reads];
  const api: RolloutApi = Object.assign(new SimulatedFleet(new VirtualTime(), seededRandom(1), 0), {
    readMachine: async () => {
      const next = left.shift();
      if (next instanceof Error || next === undefined) throw next ?? new Error("no more reads");
      return next;
    },
    updateMachine: async (_id: string, given: MachineUpdate) => {
      wish = given;
      return machine({}, { version: "2" });
    },
  });
  const rollout = { id: "r-20261123-1", mark: "m" };
  const fleet = new RolloutFleet({ api, rollout, leaseSeconds: 30, shakeHands });
  await fleet.call(id, { kind: "read" });
  await fleet.call(id, call);
  return wish;
}

test("metadata that somebody changed between look and update is kept", async () => {
  const wish = await sent([machine({ a: "1" }), machine({ a: "2", b: "new" })]);
  expect(wish?.config).toEqual({ image, env: { KEPT: "1" }, metadata: { a: "2", b: "new" } });
  expect(wish?.current_version).toBe("1");
});

test.each([
  ["of another version", machine({ a: "0" }, { version: "0" })],
  ["of a host that does not answer", machine({}, { config: null })],
  ["that failed", new MachinesApiError("lost", "no answer", { action: "read machine" })],
])("a second look %s changes nothing: Fly judges by the version", async (_, second) => {
  const wish = await sent([machine({ a: "1" }), second]);
  expect(wish?.config["metadata"]).toEqual({ a: "1" });
  expect(wish?.current_version).toBe("1");
});

test("nothing is done to a machine while its last words are fetched, for an update takes them along", async () => {
  const order: string[] = [];
  const answered = Promise.withResolvers<undefined>();
  const api: RolloutApi = Object.assign(new SimulatedFleet(new VirtualTime(), seededRandom(1), 0), {
    readMachine: async () => {
      order.push("read");
      return machine({});
    },
    executeIn: async () => {
      order.push("asked");
      await answered.promise;
      order.push("answered");
      return { exit_code: 0, exit_signal: 0, stdout: "one\ntwo\n", stderr: "" };
    },
  });
  const rollout = { id: "r-20261123-1", mark: "m" };
  const fleet = new RolloutFleet({ api, rollout, leaseSeconds: 30, shakeHands });
  const words = fleet.lastWords(id);
  const read = fleet.call(id, { kind: "read" });
  await fleet.call("m2", { kind: "read" });
  expect(order).toEqual(["asked", "read"]);
  answered.resolve(undefined);
  expect(await words).toEqual(["one", "two"]);
  await read;
  expect(order).toEqual(["asked", "read", "answered", "read"]);
});
