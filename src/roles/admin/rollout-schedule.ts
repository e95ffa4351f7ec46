import type { MachineProgress, RolloutState } from "./rollout-state.ts";

/**
 * The next machine to take forward, if one may start now: the canaries one after the other, and on
 * until one runs with the new image; then as many at once as the plan allows, and never two of one
 * tenant.
 */
export function nextForward(
  state: RolloutState,
  busy: ReadonlySet<string>,
): MachineProgress | undefined {
  const { canary, concurrency, unavailableMax } = state.plan.options;
  const machines = [...state.machines.values()];
  const inCanary = machines.slice(0, canary).some(({ ended }) => ended === undefined);
  // One that had been stopped meanwhile, or is gone, has shown nothing of the image.
  const unproved = canary > 0 && machines.every(({ ended }) => ended?.outcome !== "updated");
  if (busy.size >= (inCanary || unproved ? 1 : Math.min(concurrency, unavailableMax)))
    return undefined;
  const tenants = new Set([...busy].map((id) => state.machines.get(id)?.target.tenant));
  return (inCanary ? machines.slice(0, canary) : machines).find(
    ({ target, ended, open }) =>
      ended === undefined &&
      open === undefined &&
      !busy.has(target.id) &&
      !tenants.has(target.tenant),
  );
}

/** What is to go back next: the newest change that is not at work already. */
export function nextBack(
  state: RolloutState,
  busy: ReadonlySet<string>,
): MachineProgress | undefined {
  return [...state.machines.values()]
    .filter((machine) => state.needsRollback(machine) && !busy.has(machine.target.id))
    .toSorted((a, b) => b.changed - a.changed)[0];
}
