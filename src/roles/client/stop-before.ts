import type { Context } from "../../cli/context.ts";
import { within } from "../../system/within.ts";
import { stoppedStatus } from "./exit-status.ts";
import { clientLimits } from "./limits.ts";

/**
 * Runs `work`; until it calls `started` a signal ends it at once, with the signal's exit code. From
 * there on the work listens for itself. What `leaving` was given is done before we go: a machine that
 * is told nothing waits for us until the link counts as dead, and lets nobody else provision it.
 */
export async function stopBefore(
  context: Context,
  work: (started: () => void, leaving: (farewell: () => Promise<void>) => void) => Promise<number>,
): Promise<number> {
  const stopped = Promise.withResolvers<"stopped">();
  const farewells: (() => Promise<void>)[] = [];
  let status = 0;
  const off = context.onStop((signal) => {
    status = stoppedStatus(signal);
    stopped.resolve("stopped");
  });
  try {
    const end = await Promise.race([
      work(off, (farewell) => farewells.push(farewell)),
      stopped.promise,
    ]);
    if (end !== "stopped") return end;
    const said = Promise.allSettled(farewells.map(async (farewell) => farewell()));
    await within(said, clientLimits.farewellMs);
    return status;
  } finally {
    off();
  }
}
