import type { ApiClock } from "./api-clock.ts";
import { MachinesApiError, waitAction } from "./api-error.ts";
import { apiLimits } from "./api-limits.ts";
import type { FlyMachine } from "./machine-shape.ts";
import type { WantedState } from "./machine-wish.ts";

/** What waiting for one machine needs of the API. */
export interface WaitCalls {
  readonly clock: Pick<ApiClock, "monotonicMs">;
  readonly pause: (ms: number) => Promise<void>;
  readonly read: () => Promise<FlyMachine>;
  /** Fly's own wait, for so many seconds. */
  readonly wait: (query: Readonly<Record<string, string>>, seconds: number) => Promise<void>;
}

/** Until the machine is in the state, however often Fly's own wait runs out. */
export async function waitForState(
  calls: WaitCalls,
  id: string,
  wanted: WantedState,
  timeoutMs: number,
): Promise<FlyMachine> {
  const startMs = calls.clock.monotonicMs();
  for (;;) {
    const elapsedMs = calls.clock.monotonicMs() - startMs;
    const leftMs = timeoutMs - elapsedMs;
    if (leftMs > 0 && !(await waitOnce(calls, wanted, { leftMs, elapsedMs }))) continue;
    const machine = await look(calls, { leftMs, elapsedMs });
    if (machine === undefined) continue;
    const isIt = isOfVersion(machine, wanted.version);
    if (isIt && machine.state === wanted.state) return machine;
    const gaveUp = isIt && wanted.failures?.includes(machine.state) === true;
    if (!gaveUp && leftMs > 0) continue;
    throw new MachinesApiError(
      gaveUp ? "refused" : "lost",
      `machine ${id} is ${machine.state} after ${Math.round(elapsedMs / 1_000)} s, not ${wanted.state}`,
      { action: waitAction },
    );
  }
}

/** Before an update has come through, the state is still that of the version before. */
function isOfVersion(machine: FlyMachine, version: string | undefined): boolean {
  const known = [machine.version, machine.instance_id].filter((each) => (each ?? "") !== "");
  return version === undefined || known.length === 0 || known.includes(version);
}

interface WaitTime {
  readonly leftMs: number;
  readonly elapsedMs: number;
}

/** Undefined when that came to nothing and there is time for another look. */
async function look(calls: WaitCalls, time: WaitTime): Promise<FlyMachine | undefined> {
  try {
    return await calls.read();
  } catch (error) {
    if (time.leftMs <= 0) throw error;
    await pauseIfPassing(calls, error, time);
    return undefined;
  }
}

async function waitOnce(calls: WaitCalls, wanted: WantedState, time: WaitTime): Promise<boolean> {
  const { state, failures = [], version } = wanted;
  const chunkSeconds = Math.max(1, Math.ceil(time.leftMs / 1_000));
  const seconds = Math.min(apiLimits.waitChunkSeconds, chunkSeconds);
  try {
    // Failures too: they end the wait early.
    const states = [state, ...failures.filter(isWaitable)].join(",");
    await calls.wait({ state: states, ...(version === undefined ? {} : { version }) }, seconds);
    return true;
  } catch (error) {
    // Time to look: it may have gone another way.
    if (error instanceof MachinesApiError && error.status === 408) return true;
    await pauseIfPassing(calls, error, time);
    return false;
  }
}

/** Before another try, if that may help; else throws the error. */
async function pauseIfPassing(calls: WaitCalls, error: unknown, time: WaitTime): Promise<void> {
  if (!(error instanceof MachinesApiError)) throw error;
  const fresh = error.kind === "not-found" && time.elapsedMs < apiLimits.freshMs;
  if (!fresh && !error.isOutcomeUnknown) throw error;
  await calls.pause(apiLimits.freshPollMs);
}

/** `stopped` is not asked for: a machine may rest there for a moment before its first start. */
function isWaitable(state: string): boolean {
  return state === "failed" || state === "destroyed";
}
