import { MachinesApiError } from "../../fly/api-error.ts";
import { type FlyMachine, isMachineRunning } from "../../fly/machine-shape.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import type { Difference } from "./difference.ts";
import { machineDifferences } from "./machine-difference.ts";
import { withLease } from "./machine-lease.ts";
import { type Settling, waitUntilRunning } from "./machine-settling.ts";
import type { PlannedMachine } from "./plan.ts";
import { updatedConfig } from "./updated-config.ts";

/**
 * Makes a machine what its template wants, with a lease on it. One that runs starts anew and is waited
 * for; one that does not run stays so. Where only metadata is to change, what runs is not touched. What
 * it wants is asked for with the machine as it is by then: its token may be another. Returns what was
 * done, in words.
 */
export async function applyTemplate(
  api: MachinesApi,
  id: string,
  plannedFor: PlannedFor,
  settling: Settling,
): Promise<string> {
  return withLease(api, id, async (leaseNonce) => {
    // As it is now that nobody else may change it.
    const machine = await api.readMachine(id);
    const planned = plannedFor(machine);
    const found = changesOf(planned, machine);
    if (found.length === 0) return "is as the template wants it meanwhile";
    if (found.every(({ keys }) => keys[0] === "metadata")) {
      await api.changeMetadata(id, metadataOf(planned, machine), { leaseNonce });
      return "has new metadata, and was not restarted";
    }
    const runs = isMachineRunning(machine);
    const changed = await update(api, machine, plannedFor, { leaseNonce, skipLaunch: !runs });
    if (!runs) return `is changed, and ${machine.state} as before`;
    if (settling.waitMs > 0) await waitUntilRunning(api, changed, settling);
    return "is changed, and was restarted";
  });
}

/** When nobody can say what came of it, or the machine was changed meanwhile, looks and goes on. */
async function update(
  api: MachinesApi,
  machine: FlyMachine,
  plannedFor: PlannedFor,
  options: { readonly leaseNonce: string; readonly skipLaunch: boolean },
): Promise<FlyMachine> {
  let seen = machine;
  for (let attempt = 1; ; attempt += 1) {
    const wish = {
      config: updatedConfig(plannedFor(seen), seen),
      current_version: seen.version ?? seen.instance_id ?? undefined,
      ...(options.skipLaunch ? { skip_launch: true } : {}),
    };
    try {
      return await api.updateMachine(seen.id, wish, { leaseNonce: options.leaseNonce });
    } catch (error) {
      if (!(error instanceof MachinesApiError) || attempt >= attemptsMax) throw error;
      if (!error.isOutcomeUnknown && error.kind !== "conflict") throw error;
      await api.pause(attempt * 500);
      seen = await api.readMachine(seen.id);
      if (changesOf(plannedFor(seen), seen).length === 0) return seen;
    }
  }
}

type PlannedFor = (machine: FlyMachine) => PlannedMachine;

function changesOf(planned: PlannedMachine, machine: FlyMachine): Difference[] {
  return machineDifferences(planned, machine, []).filter(({ obstacle }) => obstacle === undefined);
}

function metadataOf(planned: PlannedMachine, machine: FlyMachine): Record<string, string> {
  const { metadata } = updatedConfig(planned, machine);
  return Object.fromEntries(
    Object.entries(Object(metadata)).map(([key, value]) => [key, String(value)]),
  );
}

const attemptsMax = 4;
