import { isIP, isIPv4 } from "node:net";
import { addressBytes, addressText } from "../system/ip-address.ts";

/** Writes a `sockaddr_in` or `sockaddr_in6` (as the socket's family asks) and tells its length. */
export function writeSocketAddress(
  into: DataView,
  family: 4 | 6,
  host: string,
  port: number,
): number {
  const version = isIP(host);
  if (version === 0) throw new RangeError(`Not a numeric address: ${host}`);
  if (family === 4) {
    into.setUint16(0, addressFamily4, true);
    into.setUint16(2, port, false);
    const plain = host.startsWith(mappedPrefix) ? host.slice(mappedPrefix.length) : host;
    if (!isIPv4(plain)) throw new RangeError(`Not an IPv4 address: ${plain}`);
    write(into, 4, plain);
    return 16;
  }
  into.setUint16(0, addressFamily6, true);
  into.setUint16(2, port, false);
  into.setUint32(4, 0);
  for (let at = 8; at < 24; at++) into.setUint8(at, 0);
  if (version === 4) {
    into.setUint16(18, 0xffff);
    write(into, 20, host);
  } else {
    write(into, 8, host.split("%", 1)[0] ?? "");
  }
  into.setUint32(24, 0);
  return 28;
}

/** The address as the socket will report it, so that both can be compared as text. */
export function canonicalHost(host: string, socketHost: string): string {
  if (isIPv4(host)) return isIPv4(socketHost) ? host : `${mappedPrefix}${host}`;
  const bytes = addressBytes(host);
  const isMapped = bytes.every((byte, at) => at >= 12 || byte === (at < 10 ? 0 : 0xff));
  return isMapped ? `${mappedPrefix}${addressText(bytes.subarray(12))}` : addressText(bytes);
}

function write(into: DataView, at: number, host: string): void {
  for (const [index, byte] of addressBytes(host).entries()) into.setUint8(at + index, byte);
}

const addressFamily4 = 2;
const addressFamily6 = 10;
const mappedPrefix = "::ffff:";
