import { expect, test } from "bun:test";
import { UsageError } from "../../../../src/cli/usage-error.ts";
import { brokerLimits } from "../../../../src/roles/proxy/broker/broker-limits.ts";
import { proxyLimits } from "../../../../src/roles/proxy/limits.ts";
import {
  metricsAddress,
  type ProxyFlags,
  type ProxyOptions,
  readOptions,
  udpAddresses,
} from "../../../../src/roles/proxy/broker/options.ts";
import { ListenError } from "../../../../src/system/listen-address.ts";
import { noProxyFlags } from "../no-proxy-flags.ts";

function read(
  flags: Partial<ProxyFlags>,
  env: Readonly<Record<string, string>> = {},
): ProxyOptions {
  return readOptions({ ...noProxyFlags, app: "app-a", ...flags }, env);
}

test("readOptions: without anything but an app, the defaults", () => {
  expect(read({})).toEqual({
    listen: undefined,
    port: 8443,
    http: undefined,
    metrics: undefined,
    backendPort: 8443,
    refreshIntervalMs: 15_000,
    sessionTimeoutMs: 180_000,
    machineBitsPerSecond: proxyLimits.machineBitsPerSecond,
    drainMs: 4000,
    keyFile: undefined,
    open: false,
    trustClientIp: false,
    app: "app-a",
    org: undefined,
    apiBase: "https://api.machines.dev",
    logLevel: "info",
  });
});

test("readOptions: what is said", () => {
  const options = read(
    {
      listen: "127.0.0.1, [::1]:9000",
      port: "443",
      http: "0.0.0.0:8080",
      metrics: "off",
      "backend-port": "1",
      "refresh-interval-secs": "60",
      "session-timeout-secs": "120",
      "machine-mbit": "50",
      "drain-secs": "0.5",
    },
    { VAULT_LOG: "debug", RUST_LOG: "error", FLY_MACHINE_ID: "148e21ea7e46e8" },
  );
  expect(options).toMatchObject({
    listen: ["127.0.0.1", "[::1]:9000"],
    port: 443,
    http: "0.0.0.0:8080",
    metrics: null,
    backendPort: 1,
    refreshIntervalMs: 60_000,
    sessionTimeoutMs: 120_000,
    machineBitsPerSecond: 50_000_000,
    drainMs: 500,
    trustClientIp: true,
    logLevel: "debug",
  });
  expect(read({ "trust-client-ip": false }, { FLY_MACHINE_ID: "m" }).trustClientIp).toBe(false);
});

test.each([
  [{ app: undefined }, "no app is named"],
  [{ app: "App" }, "no app name"],
  [{ port: "70000" }, "--port must be a port"],
  [{ port: "x" }, "--port must be a port"],
  [{ "backend-port": "0" }, "--backend-port must be a port"],
  [{ "refresh-interval-secs": "0" }, "--refresh-interval-secs must be a number of seconds, 1 to"],
  [{ "refresh-interval-secs": "3601" }, "1 to 3600"],
  [{ "session-timeout-secs": "1" }, "--session-timeout-secs must be"],
  [{ "session-timeout-secs": "86401" }, "5 to 86400"],
  [{ "drain-secs": "-1" }, "--drain-secs must be"],
  [{ "drain-secs": "301" }, "0 to 300"],
  [{ "machine-mbit": "0" }, "--machine-mbit must be 1 to 100000"],
  [{ "machine-mbit": "100001" }, "--machine-mbit must be"],
  [{ "api-base": "http://api.machines.dev" }, "cannot be used as --api-base"],
  [
    {
      listen: Array(brokerLimits.listenAddressesMax + 1)
        .fill("::1")
        .join(","),
    },
    "at most 8",
  ],
] as const)("readOptions refuses %p", (flags, words) => {
  expect(() => read(flags)).toThrow(UsageError);
  expect(() => read(flags)).toThrow(words);
});

test("udpAddresses: hosts with and without ports, IPv6 with and without brackets, names", async () => {
  const listen = "127.0.0.1,127.0.0.2:5,::1,[::1],[::1]:6,localhost:7";
  const addresses = await udpAddresses(read({ listen, port: "4" }));
  expect(addresses.slice(0, 5)).toEqual([
    { host: "127.0.0.1", port: 4 },
    { host: "127.0.0.2", port: 5 },
    { host: "::1", port: 4 },
    { host: "::1", port: 4 },
    { host: "::1", port: 6 },
  ]);
  expect(addresses[5]?.port).toBe(7);
});

test("udpAddresses: outside Fly everything is listened on", async () => {
  const [first, second] = await udpAddresses(read({}));
  expect(first).toEqual({ host: "0.0.0.0", port: 8443 });
  expect([undefined, "::"]).toContain(second?.host);
});

test("udpAddresses: a name that was asked for and is not known is an error, not a guess", () => {
  expect(udpAddresses(read({ listen: "no-such-name.invalid" }))).rejects.toThrow(ListenError);
});

test("metricsAddress: outside Fly only this computer, as said, or nowhere", async () => {
  expect(await metricsAddress(read({}))).toEqual({ host: "127.0.0.1", port: 9091 });
  expect(await metricsAddress(read({ metrics: "[::1]:1" }))).toEqual({ host: "::1", port: 1 });
  expect(await metricsAddress(read({ metrics: "off" }))).toBeUndefined();
});
