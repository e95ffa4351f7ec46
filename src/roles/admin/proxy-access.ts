import { isIP } from "node:net";
import type { Context } from "../../cli/context.ts";
import { UsageError } from "../../cli/usage-error.ts";
import { keyFileFlag, type ProxyMasters, readProxyMasters } from "./proxy-key-file.ts";

/** The way to machines that only holders of a key may start a handshake with. */
export interface ProxyAccess {
  /** `host:port`, as clients dial it. */
  readonly address: string;
  readonly masters: ProxyMasters;
}

export const proxyFlags = {
  proxy: { value: "HOST:PORT", summary: "where clients find the proxy" },
  "key-file": keyFileFlag,
} as const;

/** Undefined without `--proxy`: clients then dial the machine, and need no key. */
export async function readProxyAccess(
  flags: { readonly proxy: string | undefined; readonly "key-file": string | undefined },
  context: Context,
): Promise<ProxyAccess | undefined> {
  const path = flags["key-file"];
  if (flags.proxy === undefined) {
    // The environment may name the file for other commands.
    if (path !== undefined && path !== context.env[keyFileFlag.env])
      throw new UsageError("--key-file needs --proxy as well");
    return undefined;
  }
  const address = checkProxyAddress(flags.proxy);
  if (path === undefined) throw new UsageError("--proxy needs --key-file as well");
  return { address, masters: await readProxyMasters(path, context) };
}

/** What no client could dial is a slip that would be found only by the tenant. */
export function checkProxyAddress(address: string): string {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:]+)):(\d{1,5})$/iu.exec(address);
  const [, ipv6, host = "", digits] = match ?? [];
  const isHost = ipv6 === undefined ? isNameOrIpv4(host) : isIP(ipv6) === 6;
  const port = Number(digits ?? "0");
  if (isHost && port > 0 && port < 65_536) return address;
  throw new UsageError(`--proxy takes HOST:PORT, not "${address}"`);
}

function isNameOrIpv4(host: string): boolean {
  if (/^[\d.]+$/u.test(host)) return isIP(host) === 4;
  const labels = host.split(".");
  return labels.every((label) => /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/iu.test(label));
}
