import type { SocketAddress } from "../../quic/connection.ts";
import { ListenError, resolveListenAddress } from "../../system/listen-address.ts";

/**
 * `host:port`, several with commas. Without any: the address Fly delivers public UDP to together with
 * the private network's, or everything where those names are not known.
 */
export async function listenAddresses(text: string | undefined): Promise<SocketAddress[]> {
  if (text !== undefined && text !== "")
    return Promise.all(text.split(",").map(resolveListenAddress));
  const known: SocketAddress[] = [];
  for (const name of flyNames) {
    try {
      known.push(await resolveListenAddress(`${name}:${defaultPort}`));
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

const defaultPort = 8443;
const flyNames = ["fly-global-services", "fly-local-6pn"];
