import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { quicLimits } from "../../../src/quic/limits.ts";
import { proxyLimits as limits } from "../../../src/roles/proxy/limits.ts";
import { childEnv } from "../../../src/system/child-env.ts";

/** Hardly anything gets through to 10.9.0.2, and nothing of it is lost on the way. */
const network = `set -e
ip link set lo up
ip link add left type veth peer name right
ip address add 10.9.0.1/24 dev left
ip link set left up
ip link set right up
ip neighbour add 10.9.0.2 lladdr 02:00:00:00:00:02 dev left
tc qdisc add dev left root tbf rate 80kbit burst 3000 limit 1000000000
exec "$@"`;

test("a relay at all its limits at once stays well below 256 MiB", async () => {
  const child = fileURLToPath(new URL("relay-full.child.ts", import.meta.url));
  const run = Bun.spawn(
    ["unshare", "--net", "--", "bash", "-c", network, "network", process.execPath, child],
    {
      env: childEnv({ PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` }),
      stdio: ["ignore", "pipe", "inherit"],
      timeout: 300_000,
    },
  );
  const { gauges, bytesMost } = JSON.parse(await run.stdout.text());
  expect(await run.exited).toBe(0);
  expect(gauges).toMatchObject({
    flows: limits.flowsMax,
    sockets: limits.flowsMax,
    machines: limits.machinesMax,
    replay_tags: quicLimits.replaysMax,
    open_networks: limits.openNetworksMax,
    keys: 3 * limits.keysPerEpochMax,
  });
  expect(gauges.penalties).toBeGreaterThan(10_000);
  expect(gauges.held_bytes).toBeGreaterThan(limits.heldBytesMax - 6028);
  expect(gauges.upstream_queued_bytes).toBeGreaterThan(limits.upstreamQueuesBytesMax - 1200);
  expect(bytesMost).toBeLessThan(220 * 1024 * 1024);
}, 300_000);
