import * as v from "valibot";
import type { FlyMachine } from "../../fly/machine-shape.ts";

/** What a client must know of a machine, as its configuration file wants it. */
export interface VaultEntry {
  readonly name: string;
  readonly address: string;
  readonly org: string;
  readonly app: string;
  readonly machineId: string;
  /** Undefined where the machine does not have it under the usual name. */
  readonly accessToken: string | undefined;
  /** Only where the machine answers nobody without one. */
  readonly admissionKey: string | undefined;
  /** Only where it is not Fly's own. */
  readonly issuer: string | undefined;
}

/** `proxy` is what clients dial; without one they dial the machine. */
export function vaultEntry(
  {
    machine,
    config,
    ...vault
  }: Pick<VaultEntry, "name" | "accessToken" | "admissionKey"> & {
    readonly machine: FlyMachine;
    /** What stands in for the machine's own where Fly did not tell it. */
    readonly config?: unknown;
  },
  place: Pick<VaultEntry, "org" | "app" | "issuer"> & { readonly proxy: string | undefined },
): VaultEntry {
  const { proxy, ...where } = place;
  const own = (): string =>
    `${bracketed(machine.private_ip ?? "")}:${listenPort(machine.config ?? config)}`;
  return { ...vault, ...where, address: proxy ?? own(), machineId: machine.id };
}

/** TOML, to be pasted or appended. A JSON string is a TOML string for everything that occurs here. */
export function renderVaultBlock(entry: VaultEntry): string {
  const keys = {
    address: entry.address,
    org: entry.org,
    app: entry.app,
    machine_id: entry.machineId,
    access_token: entry.accessToken,
    admission_key: entry.admissionKey,
    issuer: entry.issuer,
  };
  const lines = Object.entries(keys).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key} = ${JSON.stringify(value)}`],
  );
  return `[vault.${entry.name}]\n${lines.join("\n")}\n`;
}

/** The same for programs; every member is there. */
export function vaultJson(entry: VaultEntry): Record<string, string | null> {
  return {
    vault: entry.name,
    address: entry.address,
    org: entry.org,
    app: entry.app,
    machine_id: entry.machineId,
    access_token: entry.accessToken ?? null,
    admission_key: entry.admissionKey ?? null,
    issuer: entry.issuer ?? null,
  };
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

const listening = v.looseObject({ env: v.looseObject({ VAULT_LISTEN: v.string() }) });

/** The UDP port of init. */
export function listenPort(config: unknown): string {
  const listen = v.is(listening, config) ? config.env.VAULT_LISTEN : "";
  return /:(\d{1,5})$/u.exec(listen)?.[1] ?? "8443";
}
