import { expect, test } from "bun:test";
import { images, leftovers, openFleetStage } from "./fleet-stage.ts";

test("200 tenants, one call in twenty failing before or after it is done: all updated, nothing left", async () => {
  const on = await openFleetStage();
  try {
    await on.createTenants(200);
    const share = 0.05 / 6;
    const struck = { call: "*", times: "always", share } as const;
    on.fly.faults.install({
      seed: 7,
      faults: [
        { ...struck, do: { kind: "drop" } },
        { ...struck, do: { kind: "drop", when: "after" } },
        { ...struck, do: { kind: "answer", status: 500, when: "after" } },
        { ...struck, do: { kind: "answer", status: 503 } },
        { ...struck, do: { kind: "html", status: 502, when: "after" } },
        { ...struck, do: { kind: "throttle" } },
      ],
    });
    const done = await on.admin(
      "--image",
      images.new,
      "--all-tenants",
      "--soak-secs",
      "0",
      "--concurrency",
      "32",
    );
    on.fly.faults.clear();
    expect([done.exitCode, done.err.split("\n").slice(-8)]).toEqual([0, expect.anything()]);
    const machines = await on.machines();
    expect(machines.map(({ config }) => config.image)).toEqual(machines.map(() => images.new));
    expect(leftovers(machines)).toEqual([]);
    expect(done.out).toContain("done: 200 updated, 0 skipped, 0 stopped, 0 failed");
  } finally {
    await on.close();
  }
}, 120_000);
