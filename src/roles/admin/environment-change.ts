import { MachinesApiError } from "../../fly/api-error.ts";
import { type FlyMachine, isMachineGone, isMachineRunning } from "../../fly/machine-shape.ts";
import type { ChangeOptions } from "../../fly/machine-wish.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { withLease } from "./machine-lease.ts";

/** What a machine's configuration is to have; all else in it stays as it is. */
export interface EnvironmentChange {
  /** The machine has the change when it has these. */
  readonly env: Readonly<Record<string, string>>;
  /** What it was worked out from: a machine that has neither this nor `env` was changed by somebody else. */
  readonly from?: Readonly<Record<string, string | undefined>>;
  /** Put there with them. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** `machine` is undefined where it has gone meanwhile. */
export interface ChangedEnvironment {
  readonly machine: FlyMachine | undefined;
  readonly outcome: "gone" | "unchanged" | "changed" | "changed-and-running";
}

/**
 * Changes a machine's configuration with a lease on it, and waits until it runs again if it did. What
 * does not run is not started.
 */
export async function changeEnvironment(
  api: MachinesApi,
  id: string,
  wanted: { readonly change: EnvironmentChange; readonly waitMs: number },
): Promise<ChangedEnvironment> {
  const seen = await readIfThere(api, id);
  if (seen === undefined) return { machine: undefined, outcome: "gone" };
  if (hasChange(seen, wanted.change)) return { machine: seen, outcome: "unchanged" };
  return withLease(api, id, async (leaseNonce): Promise<ChangedEnvironment> => {
    // As it is now that nobody else may change it.
    const machine = await api.readMachine(id);
    checkUnchanged(machine, wanted.change);
    const runs = isMachineRunning(machine);
    const changed = await putEnvironment(api, machine, wanted.change, {
      leaseNonce,
      skipLaunch: !runs,
    });
    const version = changed.version ?? changed.instance_id ?? undefined;
    const started = {
      state: "started",
      failures: ["failed", "launch_failed", "destroyed"],
      version,
    } as const;
    if (!runs || wanted.waitMs === 0) return { machine: changed, outcome: "changed" };
    return {
      machine: await api.waitForState(id, started, wanted.waitMs),
      outcome: "changed-and-running",
    };
  });
}

/**
 * When nobody can say what came of it, or the machine was changed meanwhile, looks and goes on from
 * there. Returns the machine as it is then.
 */
export async function putEnvironment(
  api: MachinesApi,
  machine: FlyMachine,
  change: EnvironmentChange,
  options: ChangeOptions & { readonly skipLaunch: boolean },
): Promise<FlyMachine> {
  let seen = machine;
  for (let attempt = 1; ; attempt += 1) {
    if (hasChange(seen, change)) return seen;
    try {
      return await api.updateMachine(seen.id, updateOf(seen, change, options.skipLaunch), options);
    } catch (error) {
      if (!(error instanceof MachinesApiError) || attempt >= attemptsMax) throw error;
      if (!error.isOutcomeUnknown && error.kind !== "conflict") throw error;
      await api.pause(attempt * 500);
      seen = await api.readMachine(seen.id);
    }
  }
}

function checkUnchanged(machine: FlyMachine, change: EnvironmentChange): void {
  if (hasChange(machine, change) || hasChange(machine, { env: change.from ?? {} })) return;
  throw new MachinesApiError("conflict", "it was changed meanwhile", { action: "update machine" });
}

function hasChange(
  machine: FlyMachine,
  { env }: { readonly env: Readonly<Record<string, string | undefined>> },
): boolean {
  return Object.entries(env).every(([name, value]) => machine.config?.env?.[name] === value);
}

/** All of the configuration goes back, with what Fly has invented since: what is left out is removed. */
function updateOf(
  { config, version, instance_id: instance }: FlyMachine,
  { env, metadata }: EnvironmentChange,
  skipLaunch: boolean,
): Parameters<MachinesApi["updateMachine"]>[1] {
  if (config === null || config === undefined)
    throw new MachinesApiError("unavailable", "the machine's host does not answer", {
      action: "read machine",
    });
  return {
    config: {
      ...config,
      env: { ...config.env, ...env },
      ...(metadata === undefined ? {} : { metadata: { ...config.metadata, ...metadata } }),
    },
    current_version: version ?? instance ?? undefined,
    ...(skipLaunch ? { skip_launch: true } : {}),
  };
}

async function readIfThere(api: MachinesApi, id: string): Promise<FlyMachine | undefined> {
  try {
    const machine = await api.readMachine(id);
    return isMachineGone(machine) ? undefined : machine;
  } catch (error) {
    if (error instanceof MachinesApiError && error.kind === "not-found") return undefined;
    throw error;
  }
}

const attemptsMax = 4;
