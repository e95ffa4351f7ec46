import { isIP, isIPv4 } from "node:net";

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
    write4(into, 4, host.startsWith(mappedPrefix) ? host.slice(mappedPrefix.length) : host);
    return 16;
  }
  into.setUint16(0, addressFamily6, true);
  into.setUint16(2, port, false);
  into.setUint32(4, 0);
  for (let at = 8; at < 24; at++) into.setUint8(at, 0);
  if (version === 4) {
    into.setUint16(18, 0xffff);
    write4(into, 20, host);
  } else {
    write6(into, 8, host);
  }
  into.setUint32(24, 0);
  return 28;
}

/** The address as the socket will report it, so that both can be compared as text. */
export function canonicalHost(host: string, socketHost: string): string {
  if (isIPv4(host)) return isIPv4(socketHost) ? host : `${mappedPrefix}${host}`;
  const bytes = new DataView(new ArrayBuffer(16));
  write6(bytes, 0, host);
  if (bytes.getBigUint64(0) === 0n && bytes.getUint32(8) === 0xffff) {
    return `${mappedPrefix}${[12, 13, 14, 15].map((at) => bytes.getUint8(at)).join(".")}`;
  }
  return new URL(`http://[${host}]/`).hostname.slice(1, -1);
}

function write4(into: DataView, at: number, host: string): void {
  if (!isIPv4(host)) throw new RangeError(`Not an IPv4 address: ${host}`);
  for (const [index, part] of host.split(".").entries()) into.setUint8(at + index, Number(part));
}

function write6(into: DataView, at: number, host: string): void {
  const [head = "", tail = ""] = host.split("::");
  const front = groups(head);
  const back = groups(tail);
  for (const [index, group] of front.entries()) into.setUint16(at + 2 * index, group);
  const start = at + 16 - 2 * back.length;
  for (const [index, group] of back.entries()) into.setUint16(start + 2 * index, group);
}

function groups(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((part) => {
    if (!part.includes(".")) return [Number.parseInt(part, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = part.split(".").map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}

const addressFamily4 = 2;
const addressFamily6 = 10;
const mappedPrefix = "::ffff:";
