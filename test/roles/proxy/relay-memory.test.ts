import { expect, test } from "bun:test";
import { quicLimits } from "../../../src/quic/limits.ts";
import { proxyLimits as limits } from "../../../src/roles/proxy/limits.ts";
import { childEnv } from "../../../src/system/child-env.ts";

test("at all limits at once the core stays well below 150 MiB", async () => {
  const script = new URL("relay-memory.child.ts", import.meta.url).pathname;
  const child = Bun.spawn([process.execPath, script], {
    env: childEnv(process.env),
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 60_000,
  });
  const { gauges, heapBytes } = JSON.parse(await new Response(child.stdout).text());
  expect(await child.exited).toBe(0);
  expect(gauges).toMatchObject({
    flows: limits.flowsMax,
    machines: limits.machinesMax,
    replay_tags: quicLimits.replaysMax,
    open_networks: limits.openNetworksMax,
    keys: 3 * limits.keysPerEpochMax,
  });
  expect(gauges.held_bytes).toBeGreaterThan(limits.heldBytesMax - 6028);
  expect(gauges.penalties).toBeGreaterThan(0.9 * limits.penaltyNetworksMax);
  expect(heapBytes).toBeLessThan(100 * 1024 * 1024);
}, 120_000);
