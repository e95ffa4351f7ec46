import { MachinesApiError } from "../../fly/api-error.ts";
import { isMachineGone } from "../../fly/machine-shape.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { apiErrorLine } from "./api-failure.ts";
import { findOrphans, type FleetView, isUnreadable, type Orphan } from "./orphan-finding.ts";
import { tenantOf } from "./tenant-id.ts";
import { deleteVolumeWhenFree } from "./volume-removal.ts";

/** Old enough, and nobody's. */
export function removable(orphans: readonly Orphan[]): Orphan[] {
  return orphans.filter(({ isDeletable, isYoung }) => isDeletable && !isYoung);
}

export async function readFleetView(api: MachinesApi, nowMs: () => number): Promise<FleetView> {
  const [machines, volumes] = await Promise.all([
    api.listMachines({}, ["include_deleted", "include_leases"]),
    api.listVolumes(),
  ]);
  return { machines, volumes, nowMs: nowMs() };
}

/**
 * Removes what was agreed to, if it is nobody's still: one list alone may be old, or have been right
 * when it was made. Returns what is left, one line each.
 */
export async function removeOrphans(
  api: MachinesApi,
  agreed: readonly Orphan[],
  options: {
    readonly nowMs: () => number;
    readonly note: (line: string) => Promise<void>;
  },
): Promise<string[]> {
  const again = removable(findOrphans(await readFleetView(api, options.nowMs)));
  // As they are now: a volume may be another machine's than it was.
  const still = new Map(again.map((orphan) => [orphan.id, orphan]));
  const left: string[] = [];
  for (const { what, id } of agreed) {
    try {
      const now = still.get(id);
      if (now === undefined || (await hasOwner(api, now))) {
        await options.note(`${what} ${id} has an owner now, and stays`);
        continue;
      }
      await (what === "machine" ? api.deleteMachine(id) : deleteVolumeWhenFree(api, id));
      await options.note(`removed ${what} ${id}`);
    } catch (error) {
      if (!(error instanceof MachinesApiError)) throw error;
      left.push(`${what} ${id}: ${apiErrorLine(error)}`);
    }
  }
  return left;
}

/** The machine itself is asked, for lists may be behind. */
async function hasOwner(api: MachinesApi, { what, id, machineId }: Orphan): Promise<boolean> {
  const asked = what === "machine" ? id : machineId;
  if (asked === undefined) return false;
  try {
    const machine = await api.readMachine(asked);
    if (isMachineGone(machine)) return false;
    return what === "volume" || tenantOf(machine) !== "" || isUnreadable(machine);
  } catch (error) {
    if (error instanceof MachinesApiError && error.kind === "not-found") return false;
    throw error;
  }
}
