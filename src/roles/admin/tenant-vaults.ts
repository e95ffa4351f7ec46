import type { FlyMachine } from "../../fly/machine-shape.ts";
import { metadataKeys } from "./plan.ts";
import { tenantOf } from "./tenant-id.ts";

/** A machine that is there, with what its owner needs to know beside its place and keys. */
export interface ListedVault {
  readonly machine: FlyMachine;
  /** What `tenant create` called it. */
  readonly name: string;
  readonly accessToken: string | undefined;
}

/** By tenant and number. */
export function listedVaults(machines: readonly FlyMachine[]): ListedVault[] {
  const numbers = new Map(machines.map((machine) => [machine, numberOf(machine)]));
  const counts = Map.groupBy(machines, tenantOf);
  return machines
    .toSorted(
      (a, b) =>
        tenantOf(a).localeCompare(tenantOf(b), "en") ||
        (numbers.get(a) ?? 0) - (numbers.get(b) ?? 0),
    )
    .map((machine) => ({
      machine,
      name: nameOf(machine, counts.get(tenantOf(machine))?.length === 1),
      accessToken: machine.config?.env?.["ACCESS_TOKEN"],
    }));
}

/** The machine knows its name, unless its template gave it another; else it is made as at the creation. */
function nameOf(machine: FlyMachine, isOnly: boolean): string {
  const tenant = tenantOf(machine);
  const number = numberOf(machine);
  const told = machine.config?.env?.["VAULT_HOSTNAME"];
  if (told === tenant || told === `${tenant}-${number}`) return told;
  return isOnly ? tenant : `${tenant}-${number}`;
}

/** The end of the launch id: from 1, by which a tenant's machines are told apart. */
export function numberOf(machine: FlyMachine): number {
  const launchId = machine.config?.metadata?.[metadataKeys.launch] ?? "";
  return Number(/-(\d{1,3})$/u.exec(launchId)?.[1] ?? "1");
}
