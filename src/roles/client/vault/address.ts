import { ipFamily } from "../../../system/ip-family.ts";
import { Failure } from "../../../cli/failure.ts";
import type { SocketAddress } from "../../../quic/connection.ts";
import { clientLimits } from "../limits.ts";

export interface Address {
  /** A name, or a number without brackets. */
  readonly host: string;
  readonly port: number;
}

/** `host:port` or `[v6]:port`; undefined for anything else (URLs, user names, missing ports). */
export function parseAddress(text: string): Address | undefined {
  const bracketed = /^\[([0-9a-fA-F:.]+)\]:(\d{1,5})$/.exec(text);
  const plain = /^([^\s:/@[\]]+):(\d{1,5})$/.exec(text);
  const [, host = "", digits = ""] = bracketed ?? plain ?? [];
  const port = Number(digits);
  if (host === "" || port < 1 || port > 65_535) return undefined;
  if (bracketed !== null) return ipFamily(host) === 6 ? { host, port } : undefined;
  const name = /^(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?$/;
  if (!name.test(host) || host.length > 253) return undefined;
  // Digits and dots that are no address would be looked up as a name, and found by some resolvers.
  if (/^[\d.]+$/.test(host) && ipFamily(host) !== 4) return undefined;
  return { host, port };
}

/** Every address of the host, the two families in turn, in the system's order of preference. */
export async function resolveAddress(address: Address): Promise<SocketAddress[]> {
  if (ipFamily(address.host) !== 0) return [{ host: address.host, port: address.port }];
  try {
    const { lookup } = await import("node:dns/promises");
    const found = await lookup(address.host, { all: true, order: "verbatim" });
    const hosts = inTurn(found).slice(0, clientLimits.addressesMax);
    return hosts.map((host) => ({ host, port: address.port }));
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new Failure("FV-NET-001", `"${address.host}" could not be resolved`, {
      because: `the resolver says ${code}`,
      fix: "check the name, and that this computer is online",
    });
  }
}

function inTurn(found: readonly { readonly address: string; readonly family: number }[]): string[] {
  const first = found[0]?.family;
  const preferred = found.filter(({ family }) => family === first);
  const others = found.filter(({ family }) => family !== first);
  return preferred
    .flatMap((entry, index) => [entry, others[index]])
    .concat(others.slice(preferred.length))
    .flatMap((entry) => (entry === undefined ? [] : [entry.address]));
}

export function showAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
