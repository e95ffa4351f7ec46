import type { ProxyFlags } from "../../../src/roles/proxy/broker/options.ts";

/** As if nothing had been said. */
export const noProxyFlags: ProxyFlags = {
  app: undefined,
  listen: undefined,
  port: undefined,
  http: undefined,
  metrics: undefined,
  "backend-port": undefined,
  "key-file": undefined,
  open: false,
  "refresh-interval-secs": undefined,
  "session-timeout-secs": undefined,
  "machine-mbit": undefined,
  "drain-secs": undefined,
  "trust-client-ip": undefined,
  org: undefined,
  "api-base": undefined,
};
