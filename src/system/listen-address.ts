import { lookup } from "node:dns/promises";
import { isIP } from "node:net";

/** An address to listen on that is no address, or a name that does not resolve. */
export class ListenError extends Error {
  override readonly name = "ListenError";
}

/** `host:port` or `[v6]:port`, the host by name or number. Rejects with `ListenError`. */
export async function resolveListenAddress(
  text: string,
): Promise<{ readonly host: string; readonly port: number }> {
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
