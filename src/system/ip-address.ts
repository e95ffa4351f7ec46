import { isIPv4, isIPv6 } from "node:net";

/** The 4 or 16 bytes of a numeric address. Throws `RangeError` for what is none, or has a zone. */
export function addressBytes(host: string): Uint8Array {
  if (isIPv4(host)) return Uint8Array.from(host.split(".").map(Number));
  if (!isIPv6(host) || host.includes("%")) throw new RangeError(`Not a numeric address: ${host}`);
  const [head = "", tail = ""] = host.split("::");
  const bytes = new Uint8Array(16);
  const [front, back] = [groups(head), groups(tail)];
  bytes.set(front);
  bytes.set(back, 16 - back.length);
  return bytes;
}

/** The address as everybody writes it: IPv6 shortened, in lower case (RFC 5952). */
export function addressText(bytes: Uint8Array): string {
  if (bytes.byteLength === 4) return bytes.join(".");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parts = Array.from({ length: 8 }, (_, at) => view.getUint16(2 * at).toString(16));
  return new URL(`http://[${parts.join(":")}]/`).hostname.slice(1, -1);
}

/** Of numeric addresses alone; a name is none, whatever it leads to. */
export function isLoopback(host: string): boolean {
  return host === "::1" || /^(?:::ffff:)?127(?:\.\d{1,3}){3}$/.test(host);
}

function groups(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((part) => {
    if (part.includes(".")) return part.split(".").map(Number);
    const group = Number.parseInt(part, 16);
    return [group >> 8, group & 0xff];
  });
}
