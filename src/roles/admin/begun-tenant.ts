import { Failure } from "../../cli/failure.ts";
import type { FlyMachine, FlyVolume } from "../../fly/machine-shape.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import type { CreationJournal } from "./creation-journal.ts";
import { differenceLine } from "./difference.ts";
import { machineDifferences } from "./machine-difference.ts";
import { metadataKeys, type PlannedMachine } from "./plan.ts";
import { managedMachines, managedMachinesForSure } from "./tenant-id.ts";
import { numberOf } from "./tenant-vaults.ts";

/** The tenant's machines. One that an earlier run asked for last may show up late. */
export async function findBegun(
  api: MachinesApi,
  tenant: string,
  journal: CreationJournal,
): Promise<FlyMachine[]> {
  const { asked, runId } = journal;
  const machines = await managedMachinesForSure(api, tenant);
  if (asked === undefined || !asked.startsWith("machine ")) return machines;
  const launchId = `${runId}-${asked.slice("machine ".length)}`;
  let seen = machines;
  for (const pauseMs of latePausesMs) {
    if (seen.some((machine) => launchIdOf(machine) === launchId)) return seen;
    await api.pause(pauseMs);
    seen = await managedMachines(api, tenant);
  }
  return seen;
}

export function isUnfinished(machine: FlyMachine): boolean {
  return machine.config?.metadata?.[metadataKeys.unfinished] !== undefined;
}

/** By which the run that began them told its machines from all others. */
export function runIdOf(machines: readonly FlyMachine[]): string | undefined {
  const ids = machines.filter(isUnfinished).map(launchIdOf);
  return ids.map((id) => /^([0-9a-f]{16})-\d+$/u.exec(id)?.[1]).find((id) => id !== undefined);
}

/** Each by its number; two of one number are more than we can make sense of. */
export function byNumber(machines: readonly FlyMachine[]): Map<number, FlyMachine> {
  const found = new Map<number, FlyMachine>();
  for (const machine of machines) {
    const number = numberOf(machine);
    const other = found.get(number);
    if (other !== undefined) {
      throw new Failure(
        "FV-ADM-003",
        `machines ${other.id} and ${machine.id} are both number ${number}`,
        {
          because: "two runs at once may have made them",
          fix: `remove the one that nobody uses: fly machine destroy --force ID`,
        },
      );
    }
    found.set(number, machine);
  }
  return found;
}

/** Going on with another template would leave a tenant that is neither the one nor the other. */
export function checkSameTemplate(
  tenant: string,
  begun: ReadonlyMap<number, FlyMachine>,
  plan: {
    readonly machines: readonly PlannedMachine[];
    readonly volumes: readonly FlyVolume[];
    readonly secrets: readonly string[];
  },
): void {
  const planned = new Map(plan.machines.map((each) => [each.index, each]));
  for (const [number, machine] of begun) {
    const wanted = planned.get(number);
    const found = wanted === undefined ? [] : machineDifferences(wanted, machine, plan.volumes);
    const words =
      wanted === undefined
        ? `machine ${machine.id} is number ${number}, and the template has fewer`
        : found.map((each) => differenceLine(each, plan.secrets)).join("; ");
    if (words === "") continue;
    throw new Failure("FV-ADM-003", `tenant "${tenant}" was begun with another template`, {
      because: `machine ${machine.id} (${machine.state}): ${words}`,
      fix: `take that template, or remove what was begun: fly-vault-admin tenant delete ${tenant}`,
    });
  }
}

function launchIdOf(machine: FlyMachine): string {
  return machine.config?.metadata?.[metadataKeys.launch] ?? "";
}

const latePausesMs = [500, 2_000, 5_000];
