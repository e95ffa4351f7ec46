import { expect, test } from "bun:test";
import type { FlyMachine } from "../../../src/fly/machine-shape.ts";
import { planRollout } from "../../../src/roles/admin/rollout-plan.ts";
import { rolloutLimits } from "../../../src/roles/admin/rollout-limits.ts";
import { images } from "./fleet-stage.ts";

const machine = (id: string, tenant: string, more: Partial<FlyMachine> = {}): FlyMachine => ({
  id,
  state: "started",
  region: "ord",
  config: { image: images.old, metadata: { "fly_vault.tenant_id": tenant } },
  ...more,
});
const targets = (machines: readonly FlyMachine[], canary: number) =>
  planRollout(machines, images.new, canary).targets.map(({ id }) => id);

test("by tenant and id; canaries run, and are of other tenants and regions as long as there are some", () => {
  const fleet = [
    machine("5", "b", { region: "fra" }),
    machine("4", "b"),
    machine("3", "a", { region: "fra" }),
    machine("2", "a"),
    machine("1", "a", { state: "stopped" }),
    machine("6", "c", { region: "syd" }),
  ];
  expect(targets(fleet, 0)).toEqual(["1", "2", "3", "4", "5", "6"]);
  expect(targets(fleet, 1)).toEqual(["2", "1", "3", "4", "5", "6"]);
  expect(targets(fleet, 2).slice(0, 2)).toEqual(["2", "5"]);
  expect(targets(fleet, 3).slice(0, 3)).toEqual(["2", "5", "6"]);
  expect(targets(fleet, 99).length).toBe(6);
});

test("what is on the digest already is skipped, whatever it is called by", () => {
  const tagged = {
    config: { image: "registry.fly.io/x/init:v2", metadata: {} },
    image_ref: {
      registry: "registry.fly.io",
      repository: "x/init",
      tag: "v2",
      digest: images.new.split("@")[1] ?? "",
    },
  };
  const plan = planRollout(
    [machine("1", "a", tagged), machine("2", "a"), machine("3", "b", { state: "destroyed" })],
    images.new,
    1,
  );
  expect([plan.skipped, plan.targets.map(({ id }) => id), plan.tenants]).toEqual([["1"], ["2"], 1]);
});

test("what stands still, is suspended, or cannot be known is told", () => {
  const plan = planRollout(
    [
      machine("1", "a", { state: "suspended" }),
      machine("2", "a", { state: "stopped" }),
      machine("3", "a", { host_status: "unreachable" }),
      machine("5", "a", { state: "launch_failed" }),
      machine("6", "a", { state: "hibernating" }),
      machine("4", "a", { config: null, incomplete_config: { image: images.old } }),
    ],
    images.new,
    0,
  );
  expect([plan.stopped, plan.suspended, plan.silent]).toEqual([
    ["1", "2", "5", "6"],
    ["1"],
    ["4", "3"],
  ]);
  expect([plan.canaries, plan.targets.length]).toEqual([0, 4]);
});

test("what a creation has not finished is left alone", () => {
  const half = machine("1", "a", {
    config: {
      image: images.old,
      metadata: { "fly_vault.tenant_id": "a", "fly_vault.unfinished": "true" },
    },
  });
  const plan = planRollout([half, machine("2", "b")], images.new, 1);
  expect([plan.unfinished, plan.targets.map(({ id }) => id), plan.tenants]).toEqual([
    ["1"],
    ["2"],
    1,
  ]);
});

test("what no check watches is named, and thousands of canaries are picked in no time", () => {
  const checks = [{ name: "up", status: "passing" }];
  const fleet = [
    machine("1", "a", { checks }),
    machine("2", "b", { checks: [] }),
    machine("3", "c"),
    machine("4", "d", { state: "stopped" }),
  ];
  expect(planRollout(fleet, images.new, 1).unchecked).toEqual(["2", "3"]);
  const many = Array.from({ length: rolloutLimits.machinesMax }, (_, at) =>
    machine(`m${at}`, `t${at % 1_000}`, { region: `r${at % 30}`, checks }),
  );
  const before = performance.now();
  expect(planRollout(many, images.new, many.length).canaries).toBe(many.length);
  expect(performance.now() - before).toBeLessThan(10_000);
});
