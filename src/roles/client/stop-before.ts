import type { Context } from "../../cli/context.ts";
import { stoppedStatus } from "./exit-status.ts";

/**
 * Runs `work`; until it calls `started` a signal ends it at once, with the signal's exit code. From
 * there on the work listens for itself. Cleaning up is left to the end of the process.
 */
export async function stopBefore(
  context: Context,
  work: (started: () => void) => Promise<number>,
): Promise<number> {
  const stopped = Promise.withResolvers<number>();
  const off = context.onStop((signal) => stopped.resolve(stoppedStatus(signal)));
  try {
    return await Promise.race([work(off), stopped.promise]);
  } finally {
    off();
  }
}
