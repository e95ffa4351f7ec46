import type { Context } from "../../../cli/context.ts";
import { within } from "../../../system/within.ts";
import { stoppedStatus } from "../session/exit-status.ts";
import { clientLimits } from "../limits.ts";

/** What to do when the user stops us, newest first, each for a limited time. */
export type Leaving = (farewell: () => Promise<void>, limitMs?: number) => void;

/**
 * Runs `work`; until it calls `started` a signal ends it at once, with the signal's exit code. From
 * there on the work listens for itself. What `leaving` was given is done before we go: a machine that
 * is told nothing waits for us until the link counts as dead. A second signal cuts that short.
 */
export async function stopBefore(
  context: Context,
  work: (started: () => void, leaving: Leaving) => Promise<number>,
): Promise<number> {
  const stopped = Promise.withResolvers<"stopped">();
  const hurried = Promise.withResolvers<void>();
  const farewells: Parameters<Leaving>[] = [];
  let status = 0;
  const off = context.onStop((signal) => {
    if (status !== 0) hurried.resolve();
    status = stoppedStatus(signal);
    stopped.resolve("stopped");
  });
  try {
    const end = await Promise.race([
      work(off, (...farewell) => farewells.push(farewell)),
      stopped.promise,
    ]);
    if (end !== "stopped") return end;
    for (const [farewell, limitMs = clientLimits.farewellMs] of farewells.toReversed()) {
      const said = farewell().catch(() => undefined);
      await within(Promise.race([said, hurried.promise]), limitMs);
    }
    return status;
  } finally {
    off();
  }
}
