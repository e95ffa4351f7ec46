import { MachinesApiError } from "../../fly/api-error.ts";
import { apiLimits } from "../../fly/api-limits.ts";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import type { ChangeOptions } from "../../fly/machine-wish.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { admissionKeyVariable } from "./admission-keys.ts";

/**
 * Gives a machine that is there its keys, with a lease on it, and waits until it runs again if it did.
 * `words` say what was done.
 */
export async function rekeyMachine(
  api: MachinesApi,
  id: string,
  wanted: { readonly keys: string; readonly waitMs: number },
): Promise<{ readonly machine: FlyMachine; readonly words: string }> {
  const seen = await api.readMachine(id);
  if (hasKeys(seen, wanted.keys)) return { machine: seen, words: "has these keys already" };
  const leaseNonce = await api.takeLease(id, leaseSeconds);
  try {
    // As it is now that nobody else may change it.
    const machine = await api.readMachine(id);
    const runs = !restingStates.has(machine.state);
    const keyed = await putKeys(api, machine, wanted.keys, { leaseNonce, skipLaunch: !runs });
    const version = keyed.version ?? keyed.instance_id ?? undefined;
    const started = { state: "started", failures: ["failed", "destroyed"], version } as const;
    if (!runs || wanted.waitMs === 0) return { machine: keyed, words: "has its new keys" };
    return {
      machine: await api.waitForState(id, started, wanted.waitMs),
      words: "has its new keys, and runs with them",
    };
  } finally {
    await releaseQuietly(api.uninterrupted(), id, leaseNonce);
  }
}

/** Whether the machine's configuration has exactly these keys. */
function hasKeys(machine: FlyMachine, keys: string): boolean {
  return machine.config?.env?.[admissionKeyVariable] === keys;
}

/**
 * Puts the keys into the machine's own configuration, and there alone: metadata can be read by every
 * machine of the organisation. When nobody can say what came of it, or the machine was changed
 * meanwhile, looks and goes on from there. Returns the machine as it is then.
 */
export async function putKeys(
  api: MachinesApi,
  machine: FlyMachine,
  keys: string,
  options: ChangeOptions & { readonly skipLaunch: boolean },
): Promise<FlyMachine> {
  let seen = machine;
  for (let attempt = 1; ; attempt += 1) {
    if (hasKeys(seen, keys)) return seen;
    try {
      return await api.updateMachine(seen.id, updateOf(seen, keys, options.skipLaunch), options);
    } catch (error) {
      if (!(error instanceof MachinesApiError) || attempt >= attemptsMax) throw error;
      if (!error.isOutcomeUnknown && error.kind !== "conflict") throw error;
      await api.pause(attempt * 500);
      seen = await api.readMachine(seen.id);
    }
  }
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

/** All of the configuration goes back, with what Fly has invented since: what is left out is removed. */
function updateOf(
  { config, version, instance_id: instance }: FlyMachine,
  keys: string,
  skipLaunch: boolean,
): Parameters<MachinesApi["updateMachine"]>[1] {
  if (config === null || config === undefined)
    throw new MachinesApiError("unavailable", "the machine's host does not answer", {
      action: "read machine",
    });
  return {
    config: { ...config, env: { ...config.env, [admissionKeyVariable]: keys } },
    current_version: version ?? instance ?? undefined,
    ...(skipLaunch ? { skip_launch: true } : {}),
  };
}

/** It runs out by itself; what went wrong before must not be hidden by this. */
async function releaseQuietly(api: MachinesApi, id: string, leaseNonce: string): Promise<void> {
  try {
    await api.releaseLease(id, leaseNonce);
  } catch (error) {
    if (!(error instanceof MachinesApiError)) throw error;
  }
}

/** Not to be started by an update. */
const restingStates: ReadonlySet<string> = new Set([
  "created",
  "stopped",
  "stopping",
  "suspended",
  "suspending",
  "failed",
]);
const attemptsMax = 4;
/** Longer than any grace of a machine that an update stops. */
const leaseSeconds = 360;
