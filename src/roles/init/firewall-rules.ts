import { UsageError } from "../../cli/usage-error.ts";
import { initLimits } from "./limits.ts";

/** Ports that outsiders may reach. */
export interface Opening {
  readonly protocol: "tcp" | "udp";
  readonly firstPort: number;
  readonly lastPort: number;
}

/** `VAULT_OPEN_PORTS`: "tcp/80 udp/5000-5010", with spaces or commas. Throws `UsageError`. */
export function parseOpenings(text: string): Opening[] {
  const words = text.split(/[\s,]+/).filter((word) => word !== "");
  if (words.length > initLimits.openingsMax)
    throw new UsageError(
      `VAULT_OPEN_PORTS has ${words.length} entries; ${initLimits.openingsMax} are allowed`,
    );
  return words.map(parseOpening);
}

function parseOpening(word: string): Opening {
  const match = /^(tcp|udp)\/(\d{1,5})(?:-(\d{1,5}))?$/.exec(word);
  const protocol = match?.[1] === "tcp" ? "tcp" : "udp";
  const firstPort = Number(match?.[2]);
  const lastPort = Number(match?.[3] ?? match?.[2]);
  if (firstPort >= 1 && lastPort <= 65_535 && firstPort <= lastPort)
    return { protocol, firstPort, lastPort };
  throw new UsageError(`VAULT_OPEN_PORTS: "${word}" is not tcp/PORT, udp/PORT or udp/FIRST-LAST`);
}

/**
 * What nft is given: one transaction that puts the whole table in the place of the last one. Packets of
 * the service are not tracked: a flood of them would fill the table of connections, and then the machine
 * could open none itself.
 */
export function firewallRules(
  servicePorts: readonly number[],
  openings: readonly Opening[],
): string {
  const each = (rule: (port: number) => string): string => servicePorts.map(rule).join("\n    ");
  const open = openings.map(
    ({ protocol, firstPort, lastPort }) => `${protocol} dport ${firstPort}-${lastPort} accept`,
  );
  return `${dropTable}table inet fly_vault {
  chain untracked_in {
    type filter hook prerouting priority raw; policy accept;
    ${each((port) => `udp dport ${port} notrack`)}
  }
  chain untracked_out {
    type filter hook output priority raw; policy accept;
    ${each((port) => `udp sport ${port} notrack`)}
  }
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iif lo accept
    meta l4proto { ${icmp}, ${icmpv6} } accept
    ${each((port) => `udp dport ${port} accept`)}
    ${open.join("\n    ")}
  }
}
`;
}

/** By number: nft looks names up in /etc/protocols, which few images have. */
const icmp = 1;
const icmpv6 = 58;

/** Deleting what is not there is an error, adding what is there is none. */
export const dropTable = `table inet fly_vault
delete table inet fly_vault
`;
