/** `auto_forward`: forward what begins to listen in the vault, only tell of it, or neither. */
export const autoForwardWishes = ["on", "notify", "off"] as const;
export type AutoForwardWish = (typeof autoForwardWishes)[number];

/** One of `auto_forward_ports`: "5173", "3000-3999", or with "!" before it what is never forwarded. */
export interface PortPattern {
  readonly from: number;
  readonly to: number;
  readonly isDenied: boolean;
}

/** Undefined for a text that is none. */
export function parsePortPattern(text: string): PortPattern | undefined {
  const [, not, from, to = from] = /^(!?)(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const pattern = { from: Number(from), to: Number(to), isDenied: not === "!" };
  const isRange = pattern.from >= 1 && pattern.to <= 65_535 && pattern.from <= pattern.to;
  return isRange ? pattern : undefined;
}

/**
 * Whether a port is forwarded without being asked for. What is denied never is. Where ports are named,
 * those alone are; else all but the system's own and those that the kernel gives to whoever asks for any.
 */
export function allowsPort(patterns: readonly PortPattern[], port: number): boolean {
  const matches = patterns.filter(({ from, to }) => from <= port && port <= to);
  if (matches.some(({ isDenied }) => isDenied)) return false;
  const namesSome = patterns.some(({ isDenied }) => !isDenied);
  return namesSome ? matches.length > 0 : port >= firstOfUsers && port < firstEphemeral;
}

const firstOfUsers = 1024;
/** Of Linux, unless somebody changed net.ipv4.ip_local_port_range. */
const firstEphemeral = 32_768;
