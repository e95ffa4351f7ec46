import { selfSignedCertificate } from "../../src/quic/certificate.ts";
import type { Connection, SocketAddress } from "../../src/quic/connection.ts";
import { Endpoint, type EndpointOptions } from "../../src/quic/endpoint.ts";
import { type LinkOptions, UdpRelay } from "../support/udp-relay.ts";

export const loopback: SocketAddress = { host: "127.0.0.1", port: 0 };
export const identity = selfSignedCertificate();

export interface Pair extends AsyncDisposable {
  readonly server: Endpoint;
  readonly client: Endpoint;
  /** The client's end and the server's end of one connection. */
  readonly near: Connection;
  readonly far: Connection;
}

export function openServer(options: Partial<EndpointOptions> = {}): Promise<Endpoint> {
  return Endpoint.open({ bind: loopback, server: identity, ...options });
}

export function openClient(options: Partial<EndpointOptions> = {}): Promise<Endpoint> {
  return Endpoint.open({ bind: loopback, ...options });
}

/** Both ends of a connection; `through` stands between them (a relay's address). */
export async function openPair(
  options: {
    readonly server?: Partial<EndpointOptions>;
    readonly client?: Partial<EndpointOptions>;
    readonly through?: (server: SocketAddress) => Promise<SocketAddress>;
  } = {},
): Promise<Pair> {
  const server = await openServer(options.server);
  const client = await openClient(options.client);
  const address = (await options.through?.(server.address)) ?? server.address;
  const connecting = client.connect(address, { timeoutMs: 20_000 });
  const [near, far] = await Promise.all([connecting, server.accept()]);
  if (far === null) throw new Error("The server endpoint closed");
  return {
    server,
    client,
    near,
    far,
    [Symbol.asyncDispose]: async () => {
      await client.close();
      await server.close();
    },
  };
}

/** Both ends with a line between them that does as it is told. */
export async function openPairOver(
  link: LinkOptions,
): Promise<Pair & { readonly relay: UdpRelay }> {
  const line: { relay?: UdpRelay } = {};
  const pair = await openPair({
    through: async (server) => {
      line.relay = await UdpRelay.open(server, link);
      return line.relay.address;
    },
  });
  const { relay } = line;
  if (relay === undefined) throw new Error("No relay was opened");
  return {
    ...pair,
    relay,
    [Symbol.asyncDispose]: async () => {
      await pair[Symbol.asyncDispose]();
      await relay[Symbol.asyncDispose]();
    },
  };
}
