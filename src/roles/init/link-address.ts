import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { SocketAddress } from "../../quic/connection.ts";

/** An address to listen on that is no address, or a name that does not resolve. */
export class ListenError extends Error {
  override readonly name = "ListenError";
}

/**
 * `host:port`, several with commas. Without any: the address Fly delivers public UDP to together with
 * the private network's, or everything where those names are not known.
 */
export async function listenAddresses(text: string | undefined): Promise<SocketAddress[]> {
  if (text !== undefined && text !== "") return Promise.all(text.split(",").map(resolveAddress));
  const known: SocketAddress[] = [];
  for (const name of flyNames) {
    try {
      known.push(await resolveAddress(`${name}:${defaultPort}`));
    } catch (error) {
      if (!(error instanceof ListenError)) throw error;
    }
  }
  return known.length > 0 ? known : [{ host: "::", port: defaultPort }];
}

/** Of these addresses the ports alone, each once. What is no address has none. */
export function listenPorts(text: string | undefined): number[] {
  if (text === undefined || text === "") return [defaultPort];
  const ports = text.split(",").map((one) => Number(/:(\d{1,5})$/.exec(one.trim())?.[1]));
  return [...new Set(ports.filter((port) => port <= 65_535))];
}

async function resolveAddress(text: string): Promise<SocketAddress> {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text.trim());
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535)
    throw new ListenError(`Not an address to listen on: "${text}" (host:port or [v6]:port)`);
  if (isIP(host) !== 0) return { host, port };
  try {
    const { address } = await lookup(host);
    return { host: address, port };
  } catch {
    throw new ListenError(`The name ${host} does not resolve here`);
  }
}

const defaultPort = 8443;
const flyNames = ["fly-global-services", "fly-local-6pn"];
