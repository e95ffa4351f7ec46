import type { MachineExit, MachineProcess } from "./machine-process.ts";
import type { MachineRecord } from "./record.ts";

/** Nobody saw how the process ended. */
export const lostExit = {
  exit_event: { exit_code: null, requested_stop: false, restarting: false },
};

/** Waits until it has ended by itself, and ends it when the grace is over. */
export async function endWithin(
  process: MachineProcess,
  graceMs: number,
  onKill: () => void,
): Promise<void> {
  const timer = setTimeout(() => {
    onKill();
    void process.kill();
  }, graceMs);
  await process.exited;
  clearTimeout(timer);
}

/** What the event of an exit tells. */
export function exitRequest(
  exit: MachineExit,
  why: { readonly requested: boolean; readonly restarting: boolean; readonly atMs: number },
  record: MachineRecord,
): Record<string, unknown> {
  return {
    exit_event: {
      exit_code: exit.exitCode ?? null,
      guest_exit_code: exit.exitCode ?? 0,
      guest_signal: exit.signal ?? null,
      signal: exit.signal ?? null,
      exited_at: new Date(why.atMs).toISOString(),
      oom_killed: false,
      requested_stop: why.requested,
      restarting: why.restarting,
    },
    restart_count: record.restarts,
  };
}
