/** What the web process counts, by the names of its metrics. */
export class WebCounters {
  readonly values: Record<WebCounter, number> = {
    web_accepted: 0,
    web_refused_full: 0,
    web_refused_network: 0,
    web_refused_draining: 0,
    web_closed_unadmitted: 0,
    web_closed_idle: 0,
    web_closed_misuse: 0,
    web_closed_draining: 0,
    web_closed_relay: 0,
    web_datagrams_in: 0,
    web_datagrams_out: 0,
    web_dropped_rate: 0,
    web_dropped_door: 0,
    web_dropped_buffered: 0,
    web_requests: 0,
  };

  add(name: WebCounter): void {
    this.values[name] += 1;
  }
}

export type WebCounter =
  | "web_accepted"
  | "web_refused_full"
  | "web_refused_network"
  | "web_refused_draining"
  | "web_closed_unadmitted"
  | "web_closed_idle"
  | "web_closed_misuse"
  | "web_closed_draining"
  | "web_closed_relay"
  | "web_datagrams_in"
  | "web_datagrams_out"
  | "web_dropped_rate"
  | "web_dropped_door"
  | "web_dropped_buffered"
  | "web_requests";
