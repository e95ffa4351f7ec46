import { expect, test } from "bun:test";
import type { Outcome, StepRecord } from "../../../src/roles/admin/rollout-record.ts";
import { nextForward } from "../../../src/roles/admin/rollout-schedule.ts";
import { RolloutState } from "../../../src/roles/admin/rollout-state.ts";
import { VirtualTime } from "../../support/virtual-time.ts";
import { seededRandom } from "../../support/seed.ts";
import { SimulatedFleet } from "./simulated-fleet.ts";

const plan = new SimulatedFleet(new VirtualTime(), seededRandom(1), 0).plan({
  canary: 1,
  concurrency: 2,
});
const machines = ["a", "b", "c", "d"].map((id) => ({ id, tenant: id, region: "ord" }));
const next = (outcomes: readonly Outcome[], busy: readonly string[], canary = 1) => {
  const steps = outcomes.map((outcome, at): StepRecord => ({
    type: "end",
    machine: machines[at]?.id ?? "",
    outcome,
  }));
  const options = { ...plan.options, canary };
  const state = new RolloutState({ ...plan, options, machines }, steps);
  return nextForward(state, new Set(busy))?.target.id;
};

test("after the canaries as many at once as the plan allows", () => {
  expect([next([], []), next([], ["a"])]).toEqual(["a", undefined]);
  expect([next(["updated"], ["b"]), next(["updated"], ["b", "c"])]).toEqual(["c", undefined]);
});

test("a canary that did not run has proved nothing: the next one is alone, too", () => {
  for (const outcome of ["stopped", "skipped", "gone"] as const) {
    expect([next([outcome], []), next([outcome], ["b"])]).toEqual(["b", undefined]);
    expect(next([outcome, "updated"], ["c"])).toBe("d");
    expect(next([outcome], ["b"], 0)).toBe("c");
  }
});
