import { isIPv6 } from "node:net";
import { openQuicUdp } from "../../../quic/udp-carrier.ts";
import { type Address, resolveAddress, showAddress } from "../vault/address.ts";
import type { DialTarget } from "./dial-attempt.ts";
import { clientLimits } from "../limits.ts";
import type { Transport } from "./transport.ts";
import { webBind, webPeer, webSocketCarrier } from "./web-socket-carrier.ts";

/** One transport's ways to the vault, and when to try them again. */
export interface DialRoute {
  readonly transport: Transport;
  /** In order of preference. Rejects with `Failure`. */
  readonly targets: () => Promise<readonly DialTarget[]>;
  readonly againMs: readonly number[];
  /** Tried again only where nothing is under way; else what is under way may have been lost. */
  readonly isPatient: boolean;
}

/** Every address of the vault's host. */
export function udpRoute(address: Address): DialRoute {
  return {
    transport: "quic",
    // A handshake cannot be hurried once its first packet is lost; a new one can be begun.
    isPatient: false,
    againMs: clientLimits.dialAgainMs,
    targets: async () =>
      (await resolveAddress(address)).map((remote) => ({
        transport: "quic",
        where: showAddress(remote),
        bind: { host: isIPv6(remote.host) ? "::" : "0.0.0.0", port: 0 },
        remote,
        carrier: () => openQuicUdp,
      })),
  };
}

/** The proxy's WebSocket; its host's addresses are Bun's to choose from. */
export function webRoute(url: string): DialRoute {
  const target: DialTarget = {
    transport: "tcp",
    where: new URL(url).host,
    bind: webBind,
    remote: webPeer,
    carrier: (notices, signal) =>
      webSocketCarrier({ url, signal, onCut: () => notices.tell("cut") }),
  };
  return {
    transport: "tcp",
    // TCP repeats by itself what is lost.
    isPatient: true,
    againMs: clientLimits.webAgainMs,
    targets: () => Promise.resolve([target]),
  };
}
