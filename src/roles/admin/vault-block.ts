import * as v from "valibot";
import type { MadeMachine } from "./tenant-maker.ts";

/** What a client must know of a machine, as its configuration file wants it. */
export interface VaultEntry {
  readonly name: string;
  readonly address: string;
  readonly org: string;
  readonly app: string;
  readonly machineId: string;
  readonly accessToken: string;
  /** Only where it is not Fly's own. */
  readonly issuer: string | undefined;
}

export function vaultEntry(
  made: MadeMachine,
  tenant: {
    readonly app: string;
    readonly org: string;
    readonly accessToken: string;
    readonly issuer: string | undefined;
  },
): VaultEntry {
  return {
    name: made.planned.vaultName,
    address: `${bracketed(made.machine.private_ip ?? "")}:${listenPort(made)}`,
    org: tenant.org,
    app: tenant.app,
    machineId: made.machine.id,
    accessToken: tenant.accessToken,
    issuer: tenant.issuer,
  };
}

/** TOML, to be pasted or appended. A JSON string is a TOML string for everything that occurs here. */
export function renderVaultBlock(entry: VaultEntry): string {
  const lines = [
    `[vault.${entry.name}]`,
    `address = ${JSON.stringify(entry.address)}`,
    `org = ${JSON.stringify(entry.org)}`,
    `app = ${JSON.stringify(entry.app)}`,
    `machine_id = ${JSON.stringify(entry.machineId)}`,
    `access_token = ${JSON.stringify(entry.accessToken)}`,
  ];
  if (entry.issuer !== undefined) lines.push(`issuer = ${JSON.stringify(entry.issuer)}`);
  return `${lines.join("\n")}\n`;
}

const discovery = v.looseObject({ issuer: v.string() });

/** A Fly on this computer has an issuer of its own; it is asked. Fly's is known to clients by the org. */
export async function localIssuer(base: string, org: string): Promise<string | undefined> {
  const { hostname } = new URL(base);
  if (!/^(?:127(?:\.\d+){3}|localhost|\[::1\])$/u.test(hostname)) return undefined;
  const page = `${base.replace(/\/+$/u, "")}/${encodeURIComponent(org)}/.well-known/openid-configuration`;
  try {
    const response = await fetch(page, { signal: AbortSignal.timeout(3_000), redirect: "manual" });
    const answer: unknown = await response.json();
    return v.is(discovery, answer) ? answer.issuer : undefined;
  } catch {
    // A tunnel to the real Fly, say: then clients use Fly's issuer.
    return undefined;
  }
}

function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

function listenPort({ machine, planned }: MadeMachine): string {
  const config = machine.config ?? planned.machine.config;
  const listen = v.is(v.looseObject({ env: v.looseObject({ VAULT_LISTEN: v.string() }) }), config)
    ? config.env.VAULT_LISTEN
    : "";
  return /:(\d{1,5})$/u.exec(listen)?.[1] ?? "8443";
}
