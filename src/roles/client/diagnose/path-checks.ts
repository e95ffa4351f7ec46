import { lookup } from "node:dns/promises";
import { networkInterfaces } from "node:os";
import type { Check, CheckOutcome } from "../../../cli/check.ts";
import type { Context } from "../../../cli/context.ts";
import { quicLimits } from "../../../quic/limits.ts";
import { late, within } from "../../../system/within.ts";
import { parseAddress } from "../vault/address.ts";
import { clientLimits } from "../limits.ts";
import { defaultWebAddress, type Transport } from "../dial/transport.ts";
import type { VaultConfig } from "../vault/vault-config.ts";
import { VaultDialler } from "../dial/vault-dialler.ts";
import { outcomeOf } from "./failure-outcome.ts";

/** The way to a vault, without its token: names, addresses, UDP and TCP. */
export function pathChecks(config: VaultConfig, context: Context): Check[] {
  const name = (step: string): string => `${step}:${config.name}`;
  const check = (step: string, title: string, run: Check["run"], needs: string[] = []): Check => ({
    name: name(step),
    title,
    needs: needs.map(name),
    run,
  });
  const checks = [
    check("dns", `name of "${config.name}"`, async () => resolve(config)),
    check("udp", "over UDP", async () => reach(config, "quic", context), ["dns"]),
  ];
  // Without a key no proxy lets us in, and there is no other way over TCP.
  if (config.admission_key !== undefined && hasWebAddress(config))
    checks.push(check("tcp", "over TCP", async () => reach(config, "tcp", context), ["dns"]));
  return checks;
}

/** Guessed from the address where that is a name; a number says nothing of a certificate. */
function hasWebAddress({ address, web_address: web }: VaultConfig): boolean {
  const parsed = parseAddress(address);
  return web !== undefined || (parsed !== undefined && defaultWebAddress(parsed) !== undefined);
}

/** What this computer has to send with. */
export function ownNetwork(): CheckOutcome {
  const addresses = Object.values(networkInterfaces())
    .flatMap((each) => each ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith("fe80:"));
  const count = (family: "IPv4" | "IPv6"): number =>
    addresses.filter((each) => each.family === family).length;
  const [v4, v6] = [count("IPv4"), count("IPv6")];
  const detail = `IPv4 addresses: ${v4}, IPv6: ${v6}; QUIC sends datagrams of ${quicLimits.datagramBytesDefault} bytes, which every path must carry`;
  if (v4 + v6 > 0) return { status: "ok", detail };
  return { status: "warning", detail, fix: "connect this computer to a network" };
}

async function resolve({ name, address }: VaultConfig): Promise<CheckOutcome> {
  const host = parseAddress(address)?.host ?? address;
  const fix = `check the name in  address  of [vault.${name}], and that this network resolves names`;
  try {
    const looking = lookup(host, { all: true });
    const found = await within(looking, clientLimits.dialMs);
    if (found === late) return { status: "failed", detail: `${host}: no answer in 5 s`, fix };
    const shown = found.slice(0, clientLimits.addressesMax).map((each) => each.address);
    return { status: "ok", detail: `${host} is ${shown.join(", ")}` };
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    return { status: "failed", detail: `${host}: ${code}`, fix };
  }
}

/** Dials by one transport alone; what is behind it is not judged here. */
async function reach(
  config: VaultConfig,
  transport: Transport,
  context: Context,
): Promise<CheckOutcome> {
  const startedMs = context.monotonicMs();
  const run = async (): Promise<CheckOutcome> => {
    const options = { transport, verbose: 0, quiet: true };
    const { endpoint } = await new VaultDialler(config, options, context).dial();
    await endpoint.close();
    const ms = Math.round(context.monotonicMs() - startedMs);
    return { status: "ok", detail: `answered in ${ms} ms, so ${consequences[transport]}` };
  };
  const outcome = await outcomeOf(run, `fly-vault explain FV-NET-002`);
  return outcome.status === "failed" && config.admission_key !== undefined && transport === "quic"
    ? {
        ...outcome,
        status: "warning",
        fix: "nothing, if TCP answers: commands then go over it, slower",
      }
    : outcome;
}

/** Other tools say "UDP: true" and leave it to people what follows. */
const consequences: Readonly<Record<Transport, string>> = {
  quic: "commands go over it",
  tcp: "commands work where UDP is blocked, slower",
};
