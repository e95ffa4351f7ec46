import { ipFamily } from "../../../system/ip-family.ts";
import type { Address } from "../vault/address.ts";
import { clientLimits } from "../limits.ts";

/** What carries QUIC: UDP datagrams, or a WebSocket over TLS over TCP to the same proxy. */
export type Transport = "quic" | "tcp";

export const transportWishes = ["auto", "quic", "tcp"] as const;
export type TransportWish = (typeof transportWishes)[number];

/** Which is tried first, and when the other one beside it. */
export interface TransportPlan {
  readonly first: Transport;
  readonly second?: {
    readonly transport: Transport;
    /** At once where the first has failed; never where it was answered. */
    readonly afterMs: number;
  };
  /** So long from the start a connection over TCP waits for one over UDP, which is the better one. */
  readonly patienceMs: number;
}

export interface TransportFacts {
  readonly wish: TransportWish;
  /** Nothing but a proxy speaks WebSocket, and it knows its clients by their admission keys. */
  readonly isWebPossible: boolean;
  /** From the memory: UDP does not get through in this network; `probe`: it is time to look again. */
  readonly udp: "unknown" | "blocked" | "probe";
}

export function planTransports({ wish, isWebPossible, udp }: TransportFacts): TransportPlan {
  if (wish !== "auto") return { first: wish, patienceMs: 0 };
  if (!isWebPossible) return { first: "quic", patienceMs: 0 };
  switch (udp) {
    case "unknown":
      return {
        first: "quic",
        second: { transport: "tcp", afterMs: clientLimits.tcpAfterMs },
        patienceMs: clientLimits.tcpPatienceMs,
      };
    case "probe":
      return {
        first: "tcp",
        second: { transport: "quic", afterMs: 0 },
        patienceMs: clientLimits.udpProbeMs,
      };
    case "blocked":
      return {
        first: "tcp",
        second: { transport: "quic", afterMs: clientLimits.udpAfterMs },
        patienceMs: 0,
      };
  }
}

/** Where the proxy's WebSocket is if nobody says; undefined where no certificate could be for it. */
export function defaultWebAddress({ host }: Address): string | undefined {
  return ipFamily(host) === 0 ? `wss://${host}${webPath}` : undefined;
}

/**
 * A `web_address`: wss, or ws on this computer alone; the path may be left out. Undefined for anything
 * else, and where there is more to it (a password, a query) that would end up in logs.
 */
export function parseWebAddress(text: string): string | undefined {
  const url = /^[\x21-\x7E]+$/.test(text) ? URL.parse(text) : null;
  if (url === null || url.username !== "" || url.password !== "") return undefined;
  if (url.search !== "" || url.hash !== "" || text.includes("?") || text.includes("#"))
    return undefined;
  if (url.protocol !== "wss:" && !(url.protocol === "ws:" && isLoopback(url.hostname)))
    return undefined;
  if (url.pathname !== "/" && url.pathname !== webPath) return undefined;
  url.pathname = webPath;
  return url.href;
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127\.[\d.]+$/.test(hostname);
}

const webPath = "/v1/datagrams";
