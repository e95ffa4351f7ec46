import { existsSync } from "node:fs";
import { printableLine } from "../../protocol/printable-line.ts";
import type { Status } from "../../protocol/message.ts";
import { childEnv } from "../../system/child-env.ts";
import type { Log } from "../../system/log.ts";
import { late, within } from "../../system/within.ts";
import { dropTable, firewallRules } from "./firewall-rules.ts";
import { initLimits } from "./limits.ts";
import { listenPorts } from "./link-address.ts";
import { flyApiSocket, type InitOptions } from "./options.ts";

export interface Firewall {
  readonly status: Pick<Status, "firewall" | "firewall_reason">;
  /** Takes the rules away again. */
  lower(): Promise<void>;
}

/**
 * Closes the machine's network to all that is not meant for outsiders: others of the same private
 * network reach every port otherwise. Never rejects: a machine without it is still a machine.
 */
export async function raiseFirewall(options: InitOptions, log: Log): Promise<Firewall> {
  const off = reasonAgainst(options);
  if (off !== undefined) return closed("off", off);
  const ports = listenPorts(options.listen);
  const problem = await nft(firewallRules(ports, options.openings));
  if (problem !== undefined) {
    log("warn", "firewall-unavailable", { because: problem });
    return closed("unavailable", problem);
  }
  log("info", "firewall-on", { service_ports: ports.join(" "), openings: options.openings.length });
  return {
    status: { firewall: "on" },
    lower: async () => {
      await nft(dropTable);
    },
  };
}

function closed(firewall: "off" | "unavailable", reason: string): Firewall {
  return { status: { firewall, firewall_reason: reason }, lower: async () => undefined };
}

/**
 * By itself on Fly alone, where the network is the machine's own. Anywhere else, a fly-local or a
 * trial, it may be the network of somebody's computer.
 */
function reasonAgainst({ firewall, apiSocket, machineId }: InitOptions): string | undefined {
  if (firewall === "off") return "VAULT_FIREWALL is off";
  const onFly = machineId !== "" && apiSocket === flyApiSocket && existsSync(flyApiSocket);
  return firewall === "on" || onFly ? undefined : "this is not a Fly Machine";
}

/** What went wrong, in one line. */
async function nft(script: string): Promise<string | undefined> {
  const path = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
  const program = Bun.which("nft", { PATH: path });
  if (program === null) return "nft is not installed";
  const child = Bun.spawn([program, "-f", "-"], {
    env: childEnv({ PATH: path }),
    cwd: "/",
    stdio: [new TextEncoder().encode(script), "ignore", "pipe"],
  });
  // Its words end with the last process that has them: a hanging one it started would hold up the boot.
  const words = new Response(child.stderr).text();
  const outcome = await within(Promise.all([words, child.exited]), initLimits.nftMs);
  if (outcome === late) {
    child.kill("SIGKILL");
    return "nft did not answer";
  }
  const [[first = ""], exitCode] = [outcome[0].trim().split("\n"), outcome[1]];
  if (exitCode === 0) return undefined;
  return printableLine(first === "" ? `nft: exit code ${exitCode}` : `nft: ${first}`, lineBytesMax);
}

const lineBytesMax = 200;
