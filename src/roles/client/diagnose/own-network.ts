import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import type { CheckOutcome } from "../../../cli/check.ts";
import { quicLimits } from "../../../quic/limits.ts";

/** How many addresses this computer can send from. */
export interface OwnAddresses {
  readonly IPv4: number;
  readonly IPv6: number;
}

export interface Interface {
  readonly name: string;
  readonly mtu: number;
}

/** What this computer has to send with. */
export function ownNetwork(): CheckOutcome {
  const own = ownAddresses();
  const narrow = tooNarrow(interfaces());
  const detail = `IPv4 addresses: ${own.IPv4}, IPv6: ${own.IPv6}; QUIC needs a path that carries datagrams of ${quicLimits.datagramBytesBase} bytes`;
  if (own.IPv4 + own.IPv6 === 0)
    return { status: "warning", detail, fix: "connect this computer to a network" };
  if (narrow.length === 0) return { status: "ok", detail };
  const fix = `raise the MTU of ${narrow.join(", ")} to 1280 or more, or use --transport tcp`;
  return { status: "warning", detail, fix };
}

export function ownAddresses(): OwnAddresses {
  const addresses = Object.values(networkInterfaces())
    .flatMap((each) => each ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith("fe80:"));
  const count = (family: "IPv4" | "IPv6"): number =>
    addresses.filter((each) => each.family === family).length;
  return { IPv4: count("IPv4"), IPv6: count("IPv6") };
}

/** Which cannot carry one of our datagrams with its headers of IPv6 and UDP. */
export function tooNarrow(all: readonly Interface[]): string[] {
  return all
    .filter(({ mtu }) => mtu < quicLimits.datagramBytesBase + headerBytes)
    .map(({ name, mtu }) => `${name} (${mtu})`);
}

/** Why nothing can get to any of these addresses from here. */
export function unreachable(addresses: readonly string[], own: OwnAddresses): string | undefined {
  // Of this computer itself, or of one without any network.
  if (own.IPv4 + own.IPv6 === 0) return undefined;
  const families = new Set(addresses.map((address) => (address.includes(":") ? "IPv6" : "IPv4")));
  const [family, another] = families;
  if (family === undefined || another !== undefined || own[family] > 0) return undefined;
  return `it has only ${family} addresses, and this computer has none`;
}

/** Where the system says; those that have an address. */
function interfaces(): Interface[] {
  return Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) => {
    if (addresses.every(({ internal }) => internal)) return [];
    try {
      return [{ name, mtu: Number(readFileSync(`/sys/class/net/${name}/mtu`, "utf8")) }];
    } catch {
      return [];
    }
  });
}

const headerBytes = 40 + 8;
