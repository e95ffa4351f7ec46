import type { FlyMachine } from "../../fly/machine-shape.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { managedBy, metadataKeys } from "./plan.ts";
import { type UsageFact, usageFact } from "./usage-fact.ts";
import { timeMs } from "./usage-times.ts";

/** The fleet as Fly told it at one time. */
export interface UsageSnapshot {
  /** Wall clock, when the answers were there. */
  readonly observedAtMs: number;
  /** One row a machine, by id; deleted ones for as long as Fly lists them. */
  readonly machines: readonly FlyMachine[];
  /** GiB by volume id. */
  readonly volumeSizes: ReadonlyMap<string, number>;
}

export async function readUsageSnapshot(
  api: MachinesApi,
  options: { readonly tenant: string | undefined; readonly wallMs: () => number },
): Promise<UsageSnapshot> {
  const { tenant } = options;
  const filter = {
    [metadataKeys.managedBy]: managedBy,
    ...(tenant === undefined ? {} : { [metadataKeys.tenant]: tenant }),
  };
  const [machines, volumes] = await Promise.all([
    api.listMachines(filter, ["include_deleted"]),
    api.listVolumes(),
  ]);
  return {
    observedAtMs: options.wallMs(),
    machines: oneRowEach(machines),
    volumeSizes: new Map(volumes.map((volume) => [volume.id, volume.size_gb ?? 0])),
  };
}

export function usageFacts(snapshot: UsageSnapshot): UsageFact[] {
  return snapshot.machines.map((machine) => usageFact(machine, snapshot.volumeSizes));
}

/** A machine that was migrated or replaced may be listed with what it was before; the newest row counts. */
export function oneRowEach(machines: readonly FlyMachine[]): FlyMachine[] {
  const rows = new Map<string, FlyMachine>();
  for (const machine of machines) {
    const other = rows.get(machine.id);
    if (other === undefined || isNewer(machine, other)) rows.set(machine.id, machine);
  }
  return [...rows.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

function isNewer(row: FlyMachine, than: FlyMachine): boolean {
  const left = isLeftBehind(row);
  if (left !== isLeftBehind(than)) return !left;
  return (timeMs(row.updated_at) ?? 0) > (timeMs(than.updated_at) ?? 0);
}

function isLeftBehind({ state }: FlyMachine): boolean {
  return state === "migrated" || state === "replaced";
}
