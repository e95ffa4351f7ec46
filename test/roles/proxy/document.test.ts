import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brokerLimits } from "../../../src/roles/proxy/broker/broker-limits.ts";
import { dropCauses } from "../../../src/roles/proxy/decision.ts";
import { proxyLimits } from "../../../src/roles/proxy/limits.ts";
import { proxyMetrics } from "../../../src/roles/proxy/broker/proxy-metrics.ts";
import { loopDropCauses } from "../../../src/roles/proxy/relay-counters.ts";
import { webLimits } from "../../../src/roles/proxy/web/web-limits.ts";

/** docs/proxy.md, held to what it speaks of. */
const root = fileURLToPath(new URL("../../..", import.meta.url));
const text = readFileSync(join(root, "docs/proxy.md"), "utf8").replaceAll(/ +/g, " ");

test("every metric is in the table, with its type, labels and words, and no other", () => {
  const rows = text.matchAll(/^\| `([a-z_]+)` \| (counter|gauge) \| (.*?) ?\| (.*) \|$/gm);
  const documented = [...rows].map(([, name, type, labels, help]) => [name, type, labels, help]);
  const expected = Object.entries(proxyMetrics).map(([name, metric]) => {
    const labels = "labels" in metric ? metric.labels : [];
    return [name, metric.type, labels.map((label) => `\`${label}\``).join(", "), metric.help];
  });
  expect(documented).toEqual(expected);
});

test("every cause of a dropped datagram is named", () => {
  const causes = [...dropCauses, ...loopDropCauses];
  expect(causes.filter((cause) => !text.includes(`\`${cause}\``))).toEqual([]);
});

test("every event of the log is named", () => {
  const paths = [...new Bun.Glob("src/roles/proxy/**/*.ts").scanSync(root)];
  const source = paths.map((path) => readFileSync(join(root, path), "utf8")).join("\n");
  const calls = [...source.matchAll(/\blog\([^;]*?, "([a-z-]+)"/g)];
  const events = new Set(calls.map(([, event = ""]) => event));
  expect(events.size).toBeGreaterThan(12);
  expect([...events].filter((event) => !text.includes(`\`${event}\``))).toEqual([]);
});

test("the figures of the plan for 10 000 machines are those of the limits", () => {
  const { startsPerMinuteMax, startsPerHourPerMachineMax, startsPerDayPerMachineMax } =
    brokerLimits;
  const sentences = [
    `${grouped(proxyLimits.flowsMax)} in all, ${proxyLimits.flowsPerMachineMax} a machine, ${proxyLimits.flowsPerNetworkMax} a network`,
    `| 10 000 | ${grouped(proxyLimits.machinesMax)} |`,
    `${startsPerMinuteMax} a minute: 1 800 an hour | ${startsPerHourPerMachineMax} an hour, ${startsPerDayPerMachineMax} a day`,
    `${brokerLimits.startsInFlightMax} machines × ${proxyLimits.heldBytesPerMachineMax / 1024} KiB`,
    `${proxyLimits.heldBytesMax / 2 ** 20} MiB`,
    `${proxyLimits.machineBitsPerSecond / 1e6} Mbit/s, ${grouped(proxyLimits.machineDatagramsPerSecond)} datagrams`,
    `4 096 in all, ${webLimits.connectionsPerNetworkMax} a network`,
    `wants ${grouped(proxyLimits.flowsMax + proxyLimits.descriptorsElse)} descriptors`,
    `no list for ${brokerLimits.directoryAgeMsMax / 60_000} minutes`,
  ];
  expect(webLimits.connectionsMax).toBe(4096);
  expect(sentences.filter((sentence) => !text.includes(sentence))).toEqual([]);
});

function grouped(value: number): string {
  return String(value).replaceAll(/\B(?=(\d{3})+$)/g, value < 10_000 ? "" : " ");
}
