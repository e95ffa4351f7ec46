import { MachinesApiError } from "../../fly/api-error.ts";
import { apiLimits } from "../../fly/api-limits.ts";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import type { ChangeOptions } from "../../fly/machine-wish.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { admissionKeyVariable } from "./admission-keys.ts";
import { changeEnvironment, type EnvironmentChange, putEnvironment } from "./environment-change.ts";

/** Gives a machine its keys. `words` say what was done; `machine` is undefined where it has gone meanwhile. */
export async function rekeyMachine(
  api: MachinesApi,
  id: string,
  wanted: { readonly keys: string; readonly waitMs: number },
): Promise<{ readonly machine: FlyMachine | undefined; readonly words: string }> {
  const { keys, waitMs } = wanted;
  const { machine, outcome } = await changeEnvironment(api, id, { change: changeTo(keys), waitMs });
  return { machine, words: outcomes[outcome] };
}

/**
 * Puts the keys into the machine's own configuration, and there alone: metadata can be read by every
 * machine of the organisation. Returns the machine as it is then.
 */
export async function putKeys(
  api: MachinesApi,
  machine: FlyMachine,
  keys: string,
  options: ChangeOptions & { readonly skipLaunch: boolean },
): Promise<FlyMachine> {
  return putEnvironment(api, machine, changeTo(keys), options);
}

/** A machine that was just made or changed may refuse to start for some seconds. */
export async function startWhenReady(
  api: MachinesApi,
  id: string,
  options: ChangeOptions,
): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await api.startMachine(id, options);
      return;
    } catch (error) {
      if (!(error instanceof MachinesApiError) || attempt >= startsMax(error)) throw error;
      const { state } = await api.readMachine(id);
      // It arrived although its answer did not.
      if (state === "started" || state === "starting") return;
      await api.pause(apiLimits.startRetryPauseMs);
    }
  }
}

function startsMax(error: MachinesApiError): number {
  if (error.kind === "conflict") return apiLimits.startRetryMs / apiLimits.startRetryPauseMs;
  return error.isOutcomeUnknown ? attemptsMax : 1;
}

function changeTo(keys: string): EnvironmentChange {
  return { env: { [admissionKeyVariable]: keys } };
}

const outcomes = {
  gone: "is gone",
  unchanged: "has these keys already",
  changed: "has its new keys",
  "changed-and-running": "has its new keys, and runs with them",
} as const;
const attemptsMax = 4;
