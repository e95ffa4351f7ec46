import type { Context } from "../../../cli/context.ts";
import { stopBefore } from "../link/stop-before.ts";
import { clientLimits } from "../limits.ts";

/** Runs work that leaves nothing half done behind: Ctrl-C aborts the signal, and what it cleans up is waited for. */
export async function untilStopped(
  context: Context,
  work: (signal: AbortSignal) => Promise<number>,
): Promise<number> {
  return stopBefore(context, async (_started, leaving) => {
    const stop = new AbortController();
    const working = work(stop.signal);
    leaving(async () => {
      stop.abort();
      await working.catch(() => undefined);
    }, clientLimits.buildEndMs);
    return working;
  });
}
