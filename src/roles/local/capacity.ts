import { ApiError } from "./api-error.ts";
import type { MachineRecord } from "./record.ts";

/** How many machines may run at once, by region; others have room for any number. */
export type Capacity = Readonly<Record<string, number>>;

/** What rests needs no memory of its host, and may not get it again. */
const resting = new Set<MachineRecord["state"]>([
  "created",
  "stopped",
  "suspended",
  "failed",
  "destroyed",
]);

export function roomIn(
  region: string,
  capacity: Capacity,
  machines: readonly MachineRecord[],
): number {
  const most = Object.hasOwn(capacity, region) ? capacity[region] : undefined;
  if (most === undefined) return Number.POSITIVE_INFINITY;
  return (
    most - machines.filter((each) => each.region === region && !resting.has(each.state)).length
  );
}

/** A machine that rests is bound to its host: when that is full, there is no other place for it. */
export function checkRoomFor(
  machine: MachineRecord,
  capacity: Capacity,
  machines: readonly MachineRecord[],
): void {
  if (!resting.has(machine.state) || roomIn(machine.region, capacity, machines) > 0) return;
  throw new ApiError(
    409,
    `aborted: could not reserve resource for machine: insufficient memory available to fulfill request in ${machine.region}`,
  );
}
