/**
 * 4 or 6 for a numeric address (RFC 4291, section 2.2), 0 for anything else, a zone (`%eth0`) included. `isIP`
 * of `node:net` says the same, but to load that takes as long as the rest of a command's start; and the URL
 * parser does not know `1:2:3:4::1.2.3.4`.
 */
export function ipFamily(host: string): 0 | 4 | 6 {
  if (ipv4.test(host)) return 4;
  return isIpv6(host) ? 6 : 0;
}

const octet = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const ipv4 = new RegExp(`^${octet}(?:\\.${octet}){3}$`);
const group = /^[\da-f]{1,4}$/i;
const textMax = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".length;

function isIpv6(host: string): boolean {
  const halves = host.slice(0, textMax + 1).split("::");
  const groups = halves.flatMap((half) => (half === "" ? [] : half.split(":")));
  const last = host.endsWith(":") ? undefined : groups.at(-1);
  const hasIpv4 = last !== undefined && ipv4.test(last);
  const hex = hasIpv4 ? groups.slice(0, -1) : groups;
  const count = hex.length + (hasIpv4 ? 2 : 0);
  const fills = halves.length === 1 ? count === 8 : halves.length === 2 && count <= 7;
  return fills && host.length <= textMax && hex.every((text) => group.test(text));
}
