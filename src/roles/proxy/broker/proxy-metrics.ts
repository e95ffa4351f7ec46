/**
 * Every metric of the proxy, in the order in which they are shown; each name with `vault_proxy_` before
 * it. What relay and web process count goes on from where it was when they are started again.
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
  flows: { from: "relay", type: "gauge", help: "Flows there are" },
  unconfirmed_flows: {
    from: "relay",
    type: "gauge",
    help: "Flows whose client has not shown yet that it hears the machine",
  },
  held_bytes: {
    from: "relay",
    type: "gauge",
    help: "Bytes of datagrams that wait for their machine",
  },
  replay_tags: { from: "relay", type: "gauge", help: "Admission tags remembered against replays" },
  penalties: { from: "relay", type: "gauge", help: "Networks remembered for wrong tags" },
  keys: { from: "relay", type: "gauge", help: "Admission keys kept ready" },
  open_networks: { from: "relay", type: "gauge", help: "Networks counted on account of --open" },
  relay_machines: { from: "relay", type: "gauge", help: "Machines that the relay knows" },
  relay_machines_cut: {
    from: "relay",
    type: "gauge",
    help: "Machines that the relay had no room for",
  },
  relay_synced: {
    from: "relay",
    type: "gauge",
    help: "1 when the relay has heard of all machines",
  },
  relay_draining: { from: "relay", type: "gauge", help: "1 when the relay takes no new flows" },
  sockets: { from: "relay", type: "gauge", help: "Sockets of the relay to machines" },
  upstream_queued_bytes: {
    from: "relay",
    type: "gauge",
    help: "Bytes that wait for a full socket to a machine",
  },
  datagrams_from_clients_total: {
    from: "relay",
    type: "counter",
    help: "Datagrams that came from clients",
  },
  bytes_from_clients_total: { from: "relay", type: "counter", help: "Bytes in them" },
  datagrams_to_machines_total: {
    from: "relay",
    type: "counter",
    help: "Datagrams passed on to machines",
  },
  datagrams_from_machines_total: {
    from: "relay",
    type: "counter",
    help: "Datagrams that came from machines",
  },
  bytes_from_machines_total: { from: "relay", type: "counter", help: "Bytes in them" },
  datagrams_to_clients_total: {
    from: "relay",
    type: "counter",
    help: "Datagrams passed on to clients",
  },
  hints_total: { from: "relay", type: "counter", help: "Hints sent to holders of a key" },
  flows_opened_total: {
    from: "relay",
    type: "counter",
    help: "Flows opened: a client's address and a machine",
  },
  flows_closed_total: { from: "relay", type: "counter", help: "Flows closed" },
  turns_total: { from: "relay", type: "counter", help: "Turns of the relay's loop" },
  datagrams_dropped_total: {
    from: "relay",
    type: "counter",
    labels: ["cause"],
    help: "Datagrams thrown away, by cause",
  },
  web_connections: { from: "web", type: "gauge", help: "WebSockets there are" },
  web_unadmitted: { from: "web", type: "gauge", help: "WebSockets that nothing came back for yet" },
  web_requests_total: {
    from: "web",
    type: "counter",
    help: "HTTP requests that were no WebSocket",
  },
  web_accepted_total: { from: "web", type: "counter", help: "WebSockets accepted" },
  web_refused_full_total: {
    from: "web",
    type: "counter",
    help: "WebSockets refused: all places are taken",
  },
  web_refused_network_total: {
    from: "web",
    type: "counter",
    help: "WebSockets refused: too many of one network",
  },
  web_refused_draining_total: {
    from: "web",
    type: "counter",
    help: "WebSockets refused while draining",
  },
  web_closed_unadmitted_total: {
    from: "web",
    type: "counter",
    help: "WebSockets closed: nothing ever came back for them",
  },
  web_closed_idle_total: { from: "web", type: "counter", help: "WebSockets closed: idle" },
  web_closed_misuse_total: {
    from: "web",
    type: "counter",
    help: "WebSockets closed: what came was no datagram",
  },
  web_closed_draining_total: {
    from: "web",
    type: "counter",
    help: "WebSockets closed while draining",
  },
  web_closed_relay_total: {
    from: "web",
    type: "counter",
    help: "WebSockets closed because the relay forgot them",
  },
  web_datagrams_in_total: {
    from: "web",
    type: "counter",
    help: "Datagrams that came by WebSocket",
  },
  web_datagrams_out_total: { from: "web", type: "counter", help: "Datagrams sent by WebSocket" },
  web_dropped_rate_total: {
    from: "web",
    type: "counter",
    help: "Datagrams dropped: more than one client may send",
  },
  web_dropped_door_total: {
    from: "web",
    type: "counter",
    help: "Datagrams dropped on the way to the relay",
  },
  web_dropped_buffered_total: {
    from: "web",
    type: "counter",
    help: "Datagrams dropped: the client reads too slowly",
  },
} as const satisfies Readonly<Record<string, Metric>>;

export type MetricName = keyof typeof proxyMetrics;

interface Metric {
  readonly from: "broker" | "relay" | "web";
  readonly type: "counter" | "gauge";
  readonly labels?: readonly string[];
  readonly help: string;
}

/** As the table has it. */
export function metricOf(name: MetricName): Metric {
  return proxyMetrics[name];
}

/**
 * What the table calls something that relay or web process report: as they do, or with the ending of
 * counters, or with the relay's name before it where others have such a thing, too. Undefined for what
 * the table does not give to them.
 */
export function reportedMetric(
  from: "relay" | "web",
  type: Metric["type"],
  name: string,
): MetricName | undefined {
  const candidates = [name, `${name}_total`, `${from}_${name}`, `${from}_${name}_total`];
  return candidates.filter(isMetricName).find((candidate) => {
    const metric = metricOf(candidate);
    return metric.from === from && metric.type === type && metric.labels === undefined;
  });
}

function isMetricName(name: string): name is MetricName {
  return Object.hasOwn(proxyMetrics, name);
}
