import { localLimits } from "./limits.ts";
import { family, isStopped, type ProcessIdentity, sendSignal } from "./process-table.ts";

/**
 * Stops a process and all that grew from it, wherever they are. Returns those to wake again: what was
 * stopped before (a job in the background of somebody's shell) is none of them. Looked through again
 * until nothing new is found, for a process may start others until it is stopped itself; not for ever,
 * for one that waits for its disk stops only when that has answered.
 */
export function freeze(root: ProcessIdentity): ProcessIdentity[] {
  const frozen: ProcessIdentity[] = [];
  for (let round = 0; round < localLimits.freezeRoundsMax; round += 1) {
    const running = family(root).filter((member) => !isStopped(member));
    const stopped = running.filter((member) => sendSignal(member, "SIGSTOP"));
    for (const { pid, startTicks } of stopped)
      if (!frozen.some((each) => each.pid === pid)) frozen.push({ pid, startTicks });
    if (stopped.length === 0) break;
  }
  return frozen;
}

/** Children first, so that nobody sees one that does not answer. */
export function thaw(frozen: readonly ProcessIdentity[]): void {
  for (const member of frozen.toReversed()) sendSignal(member, "SIGCONT");
}
