import { existsSync } from "node:fs";
import { UsageError } from "../../../cli/usage-error.ts";
import {
  apiBaseRule,
  appNameRule,
  defaultApiBase,
  isApiBase,
  isAppName,
} from "../../../fly/api-target.ts";
import { type LogLevel, logLevelFrom } from "../../../system/log.ts";
import { ListenError, resolveListenAddress } from "../../../system/listen-address.ts";
import { brokerLimits } from "./broker-limits.ts";
import { proxyLimits } from "../limits.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Everything the proxy is told, by flags and environment, but for its secrets. */
export interface ProxyOptions {
  readonly listen: readonly string[] | undefined;
  readonly port: number;
  readonly http: string | undefined;
  /** Undefined: the default; null: off. */
  readonly metrics: string | null | undefined;
  readonly backendPort: number;
  readonly refreshIntervalMs: number;
  readonly sessionTimeoutMs: number;
  readonly machineBitsPerSecond: number;
  readonly drainMs: number;
  readonly keyFile: string | undefined;
  readonly open: boolean;
  readonly trustClientIp: boolean;
  readonly app: string;
  /** Only logged. */
  readonly org: string | undefined;
  readonly apiBase: string;
  readonly logLevel: LogLevel;
}

/** In the order of the help. */
export const proxyFlags = {
  app: { value: "APP", short: "a", env: "FLY_APP", summary: "the app that holds the tenants" },
  listen: {
    value: "ADDRESS",
    env: "VAULT_PROXY_LISTEN",
    summary:
      "UDP address, or several with commas (default fly-global-services, else 0.0.0.0 and ::)",
  },
  port: {
    value: "PORT",
    env: "VAULT_PROXY_PORT",
    summary: "where an address of --listen has none (default 8443)",
  },
  http: {
    value: "ADDRESS",
    env: "VAULT_PROXY_HTTP",
    summary: "host:port for WebSockets and /healthz (default: none)",
  },
  metrics: {
    value: "ADDRESS",
    env: "VAULT_PROXY_METRICS",
    summary:
      "private host:port for /metrics and /healthz, or off (default fly-local-6pn:9091, else 127.0.0.1:9091)",
  },
  "backend-port": {
    value: "PORT",
    env: "VAULT_PROXY_BACKEND_PORT",
    summary: "UDP port of init on every machine (default 8443)",
  },
  "key-file": {
    value: "FILE",
    env: "FLY_VAULT_PROXY_KEY_FILE",
    summary: "the key, or two of them; else it is taken from FLY_VAULT_PROXY_KEY",
  },
  open: {
    summary: "also let clients in that have no key: anybody may start and reach any machine",
  },
  "refresh-interval-secs": {
    value: "N",
    env: "VAULT_PROXY_REFRESH_INTERVAL_SECS",
    summary: "time between two lists of all machines (default 15)",
  },
  "session-timeout-secs": {
    value: "N",
    env: "VAULT_PROXY_SESSION_TIMEOUT_SECS",
    summary: "a client that sends nothing for so long is forgotten (default 180)",
  },
  "machine-mbit": {
    value: "N",
    env: "VAULT_PROXY_MACHINE_MBIT",
    summary: `limit of one machine's traffic each way, in Mbit/s (default ${proxyLimits.machineBitsPerSecond / 1e6})`,
  },
  "drain-secs": {
    value: "N",
    env: "VAULT_PROXY_DRAIN_SECS",
    summary: "time that clients get to go elsewhere after SIGTERM (default 4)",
  },
  "trust-client-ip": {
    negatable: true,
    env: "VAULT_PROXY_TRUST_CLIENT_IP",
    summary: "believe Fly-Client-IP at --http (default: on a Fly machine)",
  },
  org: { value: "SLUG", env: "FLY_ORG", summary: "named in the log" },
  "api-base": {
    value: "URL",
    env: "FLY_API_BASE",
    summary: "Machines API (default: https://api.machines.dev)",
  },
} as const;

export type ProxyFlags = {
  readonly [K in Exclude<keyof typeof proxyFlags, "open" | "trust-client-ip">]: string | undefined;
} & { readonly open: boolean; readonly "trust-client-ip": boolean | undefined };

type Env = Readonly<Record<string, string | undefined>>;

/** Flags have read their environment variables already. Throws `UsageError`. */
export function readOptions(flags: ProxyFlags, env: Env): ProxyOptions {
  const onFly = (env["FLY_MACHINE_ID"] ?? "") !== "";
  return {
    listen: listOf(flags.listen),
    port: portOf("--port", flags.port),
    http: flags.http === "off" ? undefined : flags.http,
    metrics: flags.metrics === "off" ? null : flags.metrics,
    backendPort: portOf("--backend-port", flags["backend-port"], 1),
    refreshIntervalMs: secondsOf("--refresh-interval-secs", flags["refresh-interval-secs"], {
      usual: brokerLimits.refreshIntervalMs,
      min: brokerLimits.refreshIntervalMsMin,
      max: brokerLimits.refreshIntervalMsMax,
    }),
    sessionTimeoutMs: secondsOf("--session-timeout-secs", flags["session-timeout-secs"], {
      usual: brokerLimits.sessionTimeoutMs,
      min: brokerLimits.sessionTimeoutMsMin,
      max: brokerLimits.sessionTimeoutMsMax,
    }),
    machineBitsPerSecond: bitsOf(flags["machine-mbit"]),
    drainMs: secondsOf("--drain-secs", flags["drain-secs"], {
      usual: brokerLimits.drainMs,
      min: 0,
      max: brokerLimits.drainMsMax,
    }),
    keyFile: flags["key-file"],
    open: flags.open,
    trustClientIp: flags["trust-client-ip"] ?? onFly,
    app: appOf(flags.app),
    org: flags.org,
    apiBase: apiBaseOf(flags["api-base"]),
    logLevel: logLevelFrom(env["VAULT_LOG"] ?? env["RUST_LOG"]),
  };
}

/** Numeric, for the relay. Rejects with `ListenError` for a name that was asked for and is not known. */
export async function udpAddresses({ listen, port }: ProxyOptions): Promise<Address[]> {
  if (listen !== undefined)
    return Promise.all(listen.map(async (text) => resolveListenAddress(withPort(text, port))));
  const fly = await resolveIfKnown(`fly-global-services:${port}`);
  if (fly !== undefined) return [fly];
  const hasIpv6 = existsSync("/proc/net/if_inet6");
  return [{ host: "0.0.0.0", port }, ...(hasIpv6 ? [{ host: "::", port }] : [])];
}

/** Where /metrics is served; undefined for nowhere. */
export async function metricsAddress({ metrics }: ProxyOptions): Promise<Address | undefined> {
  if (metrics === null) return undefined;
  if (metrics !== undefined) return resolveListenAddress(metrics);
  const fly = await resolveIfKnown(`fly-local-6pn:${metricsPort}`);
  return fly ?? { host: "127.0.0.1", port: metricsPort };
}

async function resolveIfKnown(text: string): Promise<Address | undefined> {
  try {
    return await resolveListenAddress(text);
  } catch (error) {
    if (!(error instanceof ListenError)) throw error;
    return undefined;
  }
}

/** `host`, `host:port`, `v6`, `[v6]` or `[v6]:port`. */
function withPort(text: string, port: number): string {
  if (/^\[[^\]]*\]$/.test(text) || !text.includes(":")) return `${text}:${port}`;
  const isBareIpv6 = !text.startsWith("[") && text.split(":").length > 2;
  return isBareIpv6 ? `[${text}]:${port}` : text;
}

function listOf(text: string | undefined): string[] | undefined {
  if (text === undefined) return undefined;
  const addresses = text.split(",").map((address) => address.trim());
  if (addresses.length <= brokerLimits.listenAddressesMax) return addresses;
  throw new UsageError(`--listen takes at most ${brokerLimits.listenAddressesMax} addresses`);
}

function portOf(flag: string, text: string | undefined, min = 0): number {
  if (text === undefined) return defaultPort;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (port >= min && port <= 65_535) return port;
  throw new UsageError(`${flag} must be a port, ${min} to 65535, not "${text}"`);
}

function secondsOf(
  flag: string,
  text: string | undefined,
  allowed: { readonly usual: number; readonly min: number; readonly max: number },
): number {
  if (text === undefined) return allowed.usual;
  const ms = /^\d{1,6}(\.\d{1,3})?$/.test(text) ? Math.round(Number(text) * 1000) : Number.NaN;
  if (ms >= allowed.min && ms <= allowed.max) return ms;
  const range = `${allowed.min / 1000} to ${allowed.max / 1000}`;
  throw new UsageError(`${flag} must be a number of seconds, ${range}, not "${text}"`);
}

function bitsOf(text: string | undefined): number {
  if (text === undefined) return proxyLimits.machineBitsPerSecond;
  const mbit = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (mbit >= 1 && mbit <= brokerLimits.machineMbitMax) return mbit * 1_000_000;
  throw new UsageError(`--machine-mbit must be 1 to ${brokerLimits.machineMbitMax}, not "${text}"`);
}

function appOf(app: string | undefined): string {
  if (app === undefined) throw new UsageError("no app is named: pass --app APP, or set FLY_APP");
  if (isAppName(app)) return app;
  throw new UsageError(`"${app}" is no app name: ${appNameRule}`);
}

function apiBaseOf(text: string | undefined): string {
  if (text === undefined) return defaultApiBase;
  if (isApiBase(text)) return text;
  throw new UsageError(`"${text}" cannot be used as --api-base: ${apiBaseRule}`);
}

const defaultPort = 8443;
const metricsPort = 9091;
