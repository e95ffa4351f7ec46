import { isIP } from "node:net";
import { addressBytes, addressText } from "../../../system/ip-address.ts";

/**
 * Who is at the other end of a request. Behind Fly's edge every socket is the edge's, and its header
 * tells the client; the edge overwrites what a client puts there. A neighbour on the private network
 * reaches us without the edge, so his word is not taken.
 */
export function clientAddress(
  socketAddress: string,
  flyClientIp: string | null,
  trustClientIp: boolean,
): string {
  const own = plainAddress(socketAddress) ?? unknownAddress;
  if (!trustClientIp || flyClientIp === null || isPrivateNetwork(own)) return own;
  return plainAddress(flyClientIp.trim()) ?? own;
}

/** What limits count by: the IPv4 address, or the /64 of an IPv6 one. */
export function networkOf(address: string): string {
  const bytes = addressBytes(address);
  return bytes.byteLength === 4 ? address : addressText(fill64(bytes));
}

function fill64(bytes: Uint8Array): Uint8Array {
  const network = new Uint8Array(16);
  network.set(bytes.subarray(0, 8));
  return network;
}

/** Undefined for what is no address, or has a zone. IPv4 never as IPv6. */
function plainAddress(text: string): string | undefined {
  const address = text.toLowerCase().startsWith(mappedPrefix)
    ? text.slice(mappedPrefix.length)
    : text;
  if (isIP(address) === 0 || address.includes("%")) return undefined;
  return addressText(addressBytes(address));
}

/** fdaa::/16, Fly's 6PN. */
function isPrivateNetwork(address: string): boolean {
  return address.startsWith("fdaa:");
}

const mappedPrefix = "::ffff:";
const unknownAddress = "0.0.0.0";
