import type { Context } from "../../../cli/context.ts";
import type { Exit } from "../../../protocol/session-message.ts";

/** Of a session that ended. What a status cannot say is said on stderr. */
export async function finishedStatus(exit: Exit, context: Context): Promise<number> {
  if ("signal" in exit && exit.out_of_memory === true)
    await context.stderr.write("killed: the machine ran out of memory\n");
  return exitStatus(exit);
}

/** As a shell reports it: the code, or 128 and the signal; 124 where our own time limit ended it. */
export function exitStatus(exit: Exit): number {
  if ("code" in exit) return exit.code;
  return exit.timed_out === true ? timedOutStatus : 128 + exit.signal;
}

const timedOutStatus = 124;

export const signalNumbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
export type StopSignal = keyof typeof signalNumbers;

/** Of a client that a signal ended before its work was done. */
export function stoppedStatus(signal: StopSignal): number {
  return 128 + signalNumbers[signal];
}
