import { Failure } from "../../cli/failure.ts";
import { type FlyMachine, isMachineGone } from "../../fly/machine-shape.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { managedBy, metadataKeys } from "./plan.ts";

/** Tenant ids stand in metadata, machine names and volume names, so they are plain. */
export function checkTenantId(tenant: string): string {
  if (/^[a-z0-9][a-z0-9_-]{0,62}$/u.test(tenant)) return tenant;
  throw new Failure("FV-CLI-001", `"${tenant}" is no tenant id`, {
    because: "tenant ids have a-z, 0-9, - and _, start with a letter or digit, at most 63",
  });
}

/** All managed machines, or those of one tenant, that are still there. */
export async function managedMachines(api: MachinesApi, tenant?: string): Promise<FlyMachine[]> {
  const machines = await api.listMachines({
    [metadataKeys.managedBy]: managedBy,
    ...(tenant === undefined ? {} : { [metadataKeys.tenant]: tenant }),
  });
  return machines.filter((machine) => !isMachineGone(machine));
}

/** Fly's state spreads by gossip: one empty list is no proof that there is nothing. */
export async function managedMachinesForSure(
  api: MachinesApi,
  tenant: string,
): Promise<FlyMachine[]> {
  const machines = await managedMachines(api, tenant);
  return machines.length > 0 ? machines : managedMachines(api, tenant);
}

/** Those of one tenant, at least one. Rejects with `Failure` where there is none. */
export async function machinesOfTenant(api: MachinesApi, tenant: string): Promise<FlyMachine[]> {
  const machines = await managedMachinesForSure(api, tenant);
  if (machines.length > 0) return machines;
  throw new Failure("FV-ADM-002", `no tenant "${tenant}" in app "${api.app}"`, {
    fix: "fly-vault-admin tenant list",
  });
}

export function tenantOf(machine: FlyMachine): string {
  const config = machine.config ?? machine.incomplete_config;
  return config?.metadata?.[metadataKeys.tenant] ?? "";
}
