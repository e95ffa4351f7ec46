import { ignoreNotFound } from "../../fly/api-answer.ts";
import { isStateWord, MachinesApiError } from "../../fly/api-error.ts";
import { type FlyMachine, isMachineGone, isMachineRunning } from "../../fly/machine-shape.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";

/**
 * Cordoned first, so that nothing new arrives; stopped in order, so that nothing is lost. One that has
 * gone meanwhile is removed, too.
 */
export async function removeMachine(
  api: MachinesApi,
  machine: FlyMachine,
  note: (line: string) => Promise<void>,
): Promise<void> {
  const { id } = machine;
  await ignoreNotFound(async () => {
    await api.cordonMachine(id);
    if (!isResting(machine)) await stop(api, machine, note);
  });
  await api.deleteMachine(id);
}

async function stop(
  api: MachinesApi,
  machine: FlyMachine,
  note: (line: string) => Promise<void>,
): Promise<void> {
  const { id } = machine;
  if (await isAtRest(api, id, async () => api.stopMachine(id))) return;
  const version = machine.version ?? machine.instance_id ?? undefined;
  try {
    await api.waitForState(id, { state: "stopped", version, failures }, stopTimeoutMs);
  } catch (error) {
    if (!isStateWord(error)) throw error;
    const seen = await api.readMachine(id);
    if (isResting(seen)) return;
    await note(`machine ${id} is ${seen.state} and did not stop in time; it is removed by force`);
  }
}

/** After asking it to stop. It is no failure when somebody else did so before. */
async function isAtRest(api: MachinesApi, id: string, ask: () => Promise<void>): Promise<boolean> {
  try {
    await ask();
    return false;
  } catch (error) {
    if (!(error instanceof MachinesApiError) || error.kind !== "conflict") throw error;
    const machine = await api.readMachine(id);
    if (isResting(machine)) return true;
    if (machine.state !== "stopping") throw error;
    return false;
  }
}

/** What is in a state that nobody knows, or never started, could not be stopped. */
function isResting(machine: FlyMachine): boolean {
  const isStopping = machine.state === "stopping" || machine.state === "suspending";
  return isMachineGone(machine) || !(isMachineRunning(machine) || isStopping);
}

const failures = ["failed", "destroyed", "destroying", "suspended"];
/** Longer than the longest grace a machine can have. */
const stopTimeoutMs = 330_000;
