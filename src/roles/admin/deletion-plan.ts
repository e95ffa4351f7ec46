import { counted } from "../../cli/counted.ts";
import { printable } from "../../cli/printable.ts";
import {
  type FlyMachine,
  type FlyVolume,
  isMachineGone,
  isVolumeGone,
} from "../../fly/machine-shape.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { managedBy, metadataKeys } from "./plan.ts";
import { volumeIds } from "./tenant-summary.ts";
import { usageTimes } from "./usage-times.ts";

/** All that a tenant has, and a deletion takes away. */
export interface Doomed {
  readonly tenant: string;
  readonly machines: readonly FlyMachine[];
  readonly volumes: readonly DoomedVolume[];
}

export interface DoomedVolume {
  readonly volume: FlyVolume;
  /** That mounts it, or did before it was destroyed. */
  readonly machine: FlyMachine;
}

/**
 * Machines, and the volumes that they mount. Those of destroyed machines too, when they are free: a
 * deletion that was killed half-way leaves such. Fly's state spreads by gossip, so one empty list is no
 * proof that there is nothing.
 */
export async function findDoomed(api: MachinesApi, tenant: string): Promise<Doomed> {
  const doomed = await findOnce(api, tenant);
  return isNothing(doomed) ? findOnce(api, tenant) : doomed;
}

export function isNothing({ machines, volumes }: Doomed): boolean {
  return machines.length === 0 && volumes.length === 0;
}

/** "1 machine and 1 volume (30 GiB)". */
export function countWords({ machines, volumes }: Doomed): string {
  const sizes = volumes.map(({ volume }) => volume.size_gb ?? 0);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const size = volumes.length === 0 ? "" : ` (${total} GiB)`;
  return `${counted(machines.length, "machine")} and ${counted(volumes.length, "volume")}${size}`;
}

export function renderDoomed(doomed: Doomed): string {
  const lines = [
    `tenant ${doomed.tenant}: ${countWords(doomed)} to delete`,
    ...doomed.machines.map(
      ({ id, name, state, region }) =>
        `  machine ${id}  ${name ?? "-"}  ${state}  ${region ?? "-"}`,
    ),
    ...doomed.volumes.map(({ volume, machine }) => {
      const { id, name, size_gb: size, region } = volume;
      return `  volume  ${id}  ${name ?? "-"}  ${size ?? "?"} GiB  ${region ?? "-"}  ${attachWords(machine)}`;
    }),
  ];
  return lines.map((line) => `${printable(line)}\n`).join("");
}

export function doomedJson({ tenant, machines, volumes }: Doomed): Record<string, unknown> {
  return {
    tenant_id: tenant,
    machines: machines.map(({ id, name, state, region }) => ({
      machine_id: id,
      name: name ?? null,
      state,
      region: region ?? null,
    })),
    volumes: volumes.map(({ volume, machine }) => ({
      volume_id: volume.id,
      name: volume.name ?? null,
      region: volume.region ?? null,
      size_gib: volume.size_gb ?? null,
      machine_id: machine.id,
      last_started_at: timeWords(usageTimes(machine).startedMs) ?? null,
    })),
  };
}

async function findOnce(api: MachinesApi, tenant: string): Promise<Doomed> {
  const filter = { [metadataKeys.managedBy]: managedBy, [metadataKeys.tenant]: tenant };
  const all = await api.listMachines(filter, ["include_deleted"]);
  const machines = all.filter((machine) => !isMachineGone(machine));
  if (all.length === 0) return { tenant, machines, volumes: [] };
  const volumes = (await api.listVolumes()).filter((volume) => !isVolumeGone(volume));
  return { tenant, machines, volumes: doomedVolumes(all, volumes) };
}

/** A volume that a machine of somebody else holds is none of ours, whoever mounted it before. */
function doomedVolumes(
  machines: readonly FlyMachine[],
  volumes: readonly FlyVolume[],
): DoomedVolume[] {
  const byId = new Map(machines.map((machine) => [machine.id, machine]));
  const living = machines.toSorted((a, b) => Number(isMachineGone(a)) - Number(isMachineGone(b)));
  return volumes.flatMap((volume) => {
    const holder = volume.attached_machine_id ?? "";
    const mounting = living.find((machine) => volumeIds(machine).includes(volume.id));
    const machine = holder === "" ? mounting : byId.get(holder);
    return machine === undefined ? [] : [{ volume, machine }];
  });
}

function attachWords(machine: FlyMachine): string {
  const { startedMs, deletedMs } = usageTimes(machine);
  if (isMachineGone(machine))
    return `free; its machine ${machine.id} was destroyed ${timeWords(deletedMs) ?? "some time ago"}`;
  const since = timeWords(startedMs);
  return `on ${machine.id}, ${since === undefined ? "never started" : `last started ${since}`}`;
}

function timeWords(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString();
}
