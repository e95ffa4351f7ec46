import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { childEnv } from "../../../src/system/child-env.ts";
import { proxyLimits } from "../../../src/roles/proxy/limits.ts";

/**
 * 8 Mbit/s towards a machine that is there for the kernel alone, in packets of 1280 bytes, without IPv6.
 * The burst has no room for two: what left as one message (UDP_SEGMENT) is cut up here, and so is counted as
 * packets.
 */
const network = `set -e
echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6
echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6
ip link set lo up
ip link add left type veth peer name right
ip address add 10.9.0.1/24 dev left
ip link set left mtu 1280
ip link set left up
ip link set right up
ip neighbour add 10.9.0.2 lladdr 02:00:00:00:00:02 dev left
tc qdisc add dev left root tbf rate 8mbit burst 2000 limit 10000000
exec "$@"`;

test("a slow way, a small one and none at all cost the datagrams that do not fit, and no more", async () => {
  const child = fileURLToPath(new URL("narrow-network.child.ts", import.meta.url));
  const run = Bun.spawn(
    ["unshare", "--net", "--", "bash", "-c", network, "network", process.execPath, child],
    {
      env: childEnv({ PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` }),
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const { full, empty, left, transmitted } = JSON.parse(await run.stdout.text());
  expect(await run.exited).toBe(0);
  // No route to the one, and no address to talk to the other from.
  expect(full.drops).toMatchObject({ "no-route": 2, "too-big": 1 });
  expect(full.drops["machine-blocked"]).toBeGreaterThan(0);
  expect(full.gauges.upstream_queued_bytes).toBeLessThanOrEqual(
    proxyLimits.upstreamQueueMax * 1200,
  );
  expect(empty.drops["machine-blocked"]).toBe(full.drops["machine-blocked"]);
  expect(transmitted).toBe(left);
});
