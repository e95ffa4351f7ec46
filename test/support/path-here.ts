import type { Tenant } from "./local-fly.ts";
import type { LocalVault } from "./local-vault.ts";
import { UdpRelay } from "./udp-relay.ts";

/** The vault is reached through this process from now on: what is looked at here cannot be over before. */
export async function pathHere(vault: LocalVault, tenant: Tenant): Promise<UdpRelay> {
  const [host = "", port] = tenant.address.split(":");
  const path = await UdpRelay.open({ host, port: Number(port) });
  await vault.configure({ address: `127.0.0.1:${path.address.port}` });
  return path;
}
