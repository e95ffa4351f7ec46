import { expect, test } from "bun:test";
import { brokerLimits } from "../../../../src/roles/proxy/broker/broker-limits.ts";
import { LabelledCount } from "../../../../src/roles/proxy/broker/labelled-count.ts";
import { MetricsPage } from "../../../../src/roles/proxy/broker/metrics-page.ts";
import { proxyMetrics, reportedMetric } from "../../../../src/roles/proxy/broker/proxy-metrics.ts";
import { RelayCore } from "../../../../src/roles/proxy/relay/relay-core.ts";
import { RelayCounters } from "../../../../src/roles/proxy/relay-counters.ts";
import { ReportedMetrics } from "../../../../src/roles/proxy/broker/reported-metrics.ts";
import { WebCounters } from "../../../../src/roles/proxy/web/web-counters.ts";

function samplesOf(fill: (page: MetricsPage) => void): string[] {
  const page = new MetricsPage();
  fill(page);
  return page
    .text()
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
}

test("the page has name, help and type of each metric once, in the order of the table", () => {
  const page = new MetricsPage();
  page.add("machines", 3, { state: "started" });
  page.add("machines", 0, { state: 'a"b\\c\nd' });
  page.add("healthy", 1);
  expect(page.text()).toBe(
    [
      "# HELP vault_proxy_healthy 1 when /healthz says that all is well",
      "# TYPE vault_proxy_healthy gauge",
      "vault_proxy_healthy 1",
      "# HELP vault_proxy_machines Machines of the app by state",
      "# TYPE vault_proxy_machines gauge",
      'vault_proxy_machines{state="started"} 3',
      'vault_proxy_machines{state="a\\"b\\\\c\\nd"} 0',
      "",
    ].join("\n"),
  );
});

test("names are those that Prometheus takes, and counters alone end in _total", () => {
  for (const [name, { type, help }] of Object.entries(proxyMetrics)) {
    expect(name).toMatch(/^[a-z]+(_[a-z]+)*$/);
    expect(name.endsWith("_total")).toBe(type === "counter");
    expect(help).not.toContain("\n");
  }
});

test("all that web process and relay count is in the table", () => {
  const core = new RelayCore({
    masters: [],
    open: true,
    sessionTimeoutMs: 180_000,
    machineBitsPerSecond: 1_000_000,
    randomBytes: (length) => new Uint8Array(length),
  });
  const reported = [
    ...Object.keys(new WebCounters().values).map((name) => ["web", "counter", name] as const),
    ...Object.keys(new RelayCounters().counters).map((name) => ["relay", "counter", name] as const),
    ...Object.keys(core.gauges).map((name) => ["relay", "gauge", name] as const),
  ];
  expect(
    reported.filter(([from, type, name]) => reportedMetric(from, type, name) === undefined),
  ).toEqual([]);
});

test("what a process counted stays when it ends, its gauges go down to nought", () => {
  const metrics = new ReportedMetrics("relay");
  metrics.receive({ counters: { hints_total: 2 }, gauges: { flows: 7 }, drops: { "bad-tag": 5 } });
  metrics.ended();
  expect(samplesOf((page) => metrics.addTo(page))).toEqual([
    "vault_proxy_flows 0",
    "vault_proxy_hints_total 2",
    'vault_proxy_datagrams_dropped_total{cause="bad-tag"} 5',
  ]);
  metrics.receive({ counters: { hints_total: 1 }, gauges: { flows: 1 }, drops: { clock: 1 } });
  metrics.receive({ counters: { hints_total: 3 }, gauges: { flows: 2 }, drops: { clock: 4 } });
  expect(samplesOf((page) => metrics.addTo(page))).toEqual([
    "vault_proxy_flows 2",
    "vault_proxy_hints_total 5",
    'vault_proxy_datagrams_dropped_total{cause="bad-tag"} 5',
    'vault_proxy_datagrams_dropped_total{cause="clock"} 4',
  ]);
});

test("a process says nothing in the name of another, and nothing that is no number", () => {
  const metrics = new ReportedMetrics("relay");
  const many = Object.fromEntries(
    Array.from({ length: brokerLimits.reportedNamesMax }, (_, index) => [`name-${index}`, 1]),
  );
  metrics.receive({
    counters: { api_calls_total: 1, web_requests: 1, flows: 1, "x 1\nvault_proxy_healthy": 1 },
    gauges: {
      healthy: 1,
      flows: Number.POSITIVE_INFINITY,
      held_bytes: -1,
      machines: 4,
    },
    drops: { 'x"} 1': 1, constructor: Number.NaN, ...many, late: 1 },
  });
  expect(samplesOf((page) => metrics.addTo(page))).toEqual(["vault_proxy_relay_machines 4"]);
});

test("a relay that keeps dying cannot fill the page with causes that it makes up", () => {
  const metrics = new ReportedMetrics("relay");
  for (const [run, letter] of ["a", "b", "c"].entries()) {
    const drops = { [`cause-${letter}`]: 1, "bad-tag": 1, door: run };
    metrics.receive({ counters: {}, gauges: {}, drops });
    metrics.ended();
  }
  expect(samplesOf((page) => metrics.addTo(page))).toEqual([
    'vault_proxy_datagrams_dropped_total{cause="bad-tag"} 3',
    'vault_proxy_datagrams_dropped_total{cause="door"} 3',
  ]);
});

test("counts by label are there before anything happened", () => {
  const count = new LabelledCount("lookups_total", ["outcome"], [["found"], ["missing"]]);
  count.count("missing");
  count.count("failed");
  expect(samplesOf((page) => count.addTo(page))).toEqual([
    'vault_proxy_lookups_total{outcome="found"} 0',
    'vault_proxy_lookups_total{outcome="missing"} 1',
    'vault_proxy_lookups_total{outcome="failed"} 1',
  ]);
});
