import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "../../support/seed.ts";
import { VirtualTime } from "../../support/virtual-time.ts";
import { RolloutFleet } from "../../../src/roles/admin/rollout-fleet.ts";
import { openRollouts } from "../../../src/roles/admin/rollout-store.ts";
import { planRollout } from "../../../src/roles/admin/rollout-plan.ts";
import { newImage, SimulatedFleet } from "./simulated-fleet.ts";

test("another computer's rollout has the same id, and does not take our lease for its own", async () => {
  const folder = mkdtempSync(join(tmpdir(), "fvl-"));
  const time = new VirtualTime();
  const machines = new SimulatedFleet(time, seededRandom(1), 1);
  /** As each computer begins its first rollout of the day. */
  const begin = async (computer: string): Promise<{ id: string; fleet: RolloutFleet }> => {
    const target = { app: "app", apiBase: "http://x" };
    const rollouts = await openRollouts(join(folder, computer), target, async () => undefined);
    const { options } = machines.plan();
    const wish = { image: newImage, options, plan: planRollout([], newImage, 0), mark: computer };
    const { journal, state, unlock } = await rollouts.begin(wish, new Date("2026-11-23T12:00:00Z"));
    await journal.close();
    await unlock();
    const fleet = new RolloutFleet({
      api: machines,
      rollout: state.plan,
      leaseSeconds: options.leaseSeconds,
      shakeHands: machines.shakeHands,
    });
    return { id: state.plan.id, fleet };
  };
  try {
    const [ours, theirs] = [await begin("a"), await begin("b")];
    expect(ours.id).toBe(theirs.id);
    const lease = { kind: "lease", nonce: undefined } as const;
    const taken = await time.run(ours.fleet.call("m0000", lease));
    const refused = await time.run(theirs.fleet.call("m0000", lease));
    expect(refused).toMatchObject({ kind: "fault", fault: { kind: "conflict" } });
    // After a crash, without the nonce, it is still ours.
    expect(await time.run(ours.fleet.call("m0000", lease))).toEqual(taken);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
