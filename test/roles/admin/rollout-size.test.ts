import { expect, test } from "bun:test";
import { rolloutLimits } from "../../../src/roles/admin/rollout-limits.ts";
import { main } from "../../../src/roles/admin/main.ts";
import { json, scriptApi } from "../../fly/scripted-api.ts";
import { memoryContext } from "../../support/memory-context.ts";
import { images } from "./fleet-stage.ts";

test("a fleet that is too large for one rollout is refused, and nothing is changed", async () => {
  const metadata = {
    "fly_vault.managed_by": "fly-vault-admin",
    "fly_vault.tenant_id": "acme",
  };
  const fleet = (count: number) =>
    json(
      Array.from({ length: count }, (_, at) => ({
        id: `m${at}`,
        state: "stopped",
        config: { image: images.old, metadata },
      })),
    );
  for (const [count, exitCode] of [
    [rolloutLimits.machinesMax + 1, 2],
    [rolloutLimits.machinesMax, 0],
  ] as const) {
    const script = scriptApi([fleet(count)]);
    const env = { FLY_API_BASE: script.base, FLY_API_TOKEN: "t", FLY_APP: "app-a" };
    const context = memoryContext({ env });
    const words = ["--image", images.new, "--all-tenants", "--dry-run"];
    expect([count, await main(["tenant", "update-image", ...words], context)]).toEqual([
      count,
      exitCode,
    ]);
    if (exitCode !== 0) {
      expect(context.err()).toContain(`${count} machines are too many for one rollout`);
      expect(context.err()).toContain("name tenants with --tenant");
    }
    expect(script.seen.every(({ method }) => method === "GET")).toBe(true);
    await script.close();
  }
}, 120_000);
