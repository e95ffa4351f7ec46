import { Failure } from "../../cli/failure.ts";
import { isStateWord, MachinesApiError } from "../../fly/api-error.ts";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { lastExit } from "./exit-event.ts";

/** How long a machine may take to start, and how long it must then stay so. */
export interface Settling {
  readonly waitMs: number;
  readonly stayMs: number;
}

/**
 * Waits until the machine has started and stays so: the state "started" alone only says that its first
 * process was run. Throws a `Failure` that says how it ended.
 */
export async function waitUntilRunning(
  api: MachinesApi,
  { id, version, instance_id: instance }: FlyMachine,
  settling: Settling,
): Promise<FlyMachine> {
  const made = version ?? instance ?? undefined;
  try {
    await waitForStart(api, id, made, settling.waitMs);
    if (settling.stayMs > 0) await watch(api, id, made, settling.stayMs);
  } catch (error) {
    if (!isStateWord(error)) throw error;
    const machine = await api.readMachine(id);
    const exit = lastExit(machine);
    throw exit === undefined ? error : ended(machine, exit);
  }
  const machine = await api.readMachine(id);
  const exit = lastExit(machine);
  if (exit !== undefined) throw ended(machine, exit);
  if (machine.state === "started") return machine;
  throw ended(machine, "nobody saw how");
}

/**
 * In short steps, because Fly's own wait does not tell of a machine that has ended already; `stopped`
 * alone says nothing, as a machine may rest there for a while before its first start.
 */
async function waitForStart(
  api: MachinesApi,
  id: string,
  version: string | undefined,
  waitMs: number,
): Promise<void> {
  const wanted = {
    state: "started",
    failures: ["failed", "launch_failed", "destroyed"],
    version,
  } as const;
  for (let step = 1; ; step += 1) {
    const seen = await readIfVisible(api, id);
    const exit = seen && lastExit(seen);
    if (seen !== undefined && exit !== undefined) throw ended(seen, exit);
    if (seen?.state === "started" && [undefined, seen.version, seen.instance_id].includes(version))
      return;
    const leftMs = waitMs - (step - 1) * stepMs;
    try {
      await api.waitForState(id, wanted, Math.min(stepMs, leftMs));
      return;
    } catch (error) {
      const isOver = leftMs <= stepMs || (seen?.state === "stopped" && step >= stoppedStepsMax);
      if (!isStateWord(error) || error.kind === "refused" || isOver) throw error;
    }
  }
}

/** What was just made may be unknown for a while. */
async function readIfVisible(api: MachinesApi, id: string): Promise<FlyMachine | undefined> {
  try {
    return await api.readMachine(id);
  } catch (error) {
    if (error instanceof MachinesApiError && error.kind === "not-found") return undefined;
    throw error;
  }
}

/** Returns when the time is over, or as soon as the machine is found stopped. */
async function watch(
  api: MachinesApi,
  id: string,
  version: string | undefined,
  stayMs: number,
): Promise<void> {
  try {
    const failures = ["failed", "launch_failed", "destroyed"];
    await api.waitForState(id, { state: "stopped", failures, version }, stayMs);
  } catch (error) {
    if (!isStateWord(error)) throw error;
  }
}

function ended({ id, state }: FlyMachine, exit: string): Failure {
  return new Failure("FV-ADM-010", `machine ${id} did not stay started`, {
    because: `its first process ended: ${exit}; the machine is ${state} now`,
    fix: `fly logs --machine ${id}, unless it has been removed; check image, init and env of the template`,
  });
}

const stepMs = 2_000;
const stoppedStepsMax = 8;
