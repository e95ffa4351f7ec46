/**
 * Every metric of the proxy, in the order in which they are shown; each name with `vault_proxy_` before
 * it. What relay and web process report goes by these names, too, and counts on when they are started
 * again.
 */
export const proxyMetrics = {
  healthy: { from: "broker", type: "gauge", help: "1 when /healthz says that all is well" },
  draining: { from: "broker", type: "gauge", help: "1 from the first SIGTERM on" },
  process_up: {
    from: "broker",
    type: "gauge",
    labels: ["process"],
    help: "1 while the process listens",
  },
  process_restarts_total: {
    from: "broker",
    type: "counter",
    labels: ["process"],
    help: "Starts of a process in place of one that ended",
  },
  directory_age_seconds: {
    from: "broker",
    type: "gauge",
    help: "Time since the last whole list of machines was asked for",
  },
  machines: {
    from: "broker",
    type: "gauge",
    labels: ["state"],
    help: "Machines of the app by state",
  },
  api_calls_total: {
    from: "broker",
    type: "counter",
    labels: ["call", "outcome"],
    help: "Calls to the Machines API, each attempt; a wait that ran out is lost",
  },
  lookups_total: {
    from: "broker",
    type: "counter",
    labels: ["outcome"],
    help: "Machines looked at by themselves, for a client that waited",
  },
  starts_total: {
    from: "broker",
    type: "counter",
    labels: ["outcome"],
    help: "Starts that clients waited for; all but started and failed were not tried",
  },
  starts_in_flight: {
    from: "broker",
    type: "gauge",
    help: "Machines being started now",
  },
  drops_total: {
    from: "relay",
    type: "counter",
    labels: ["cause"],
    help: "Datagrams thrown away, by cause",
  },
} as const satisfies Readonly<Record<string, Metric>>;

export type MetricName = keyof typeof proxyMetrics;

interface Metric {
  readonly from: "broker" | "relay" | "web";
  readonly type: "counter" | "gauge";
  readonly labels?: readonly string[];
  readonly help: string;
}

/** As the table has it; undefined for a name that is not in it. */
export function metricOf(name: string): Metric | undefined {
  return isMetricName(name) ? proxyMetrics[name] : undefined;
}

export function isMetricName(name: string): name is MetricName {
  return Object.hasOwn(proxyMetrics, name);
}
