import { Failure } from "../../cli/failure.ts";
import { MachinesApiError } from "../../fly/api-error.ts";
import { type FlyMachine, type FlyVolume, isMachineGone } from "../../fly/machine-shape.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { metadataKeys } from "./plan.ts";
import type { VolumeClaims } from "./volume-claims.ts";

/**
 * Something that is being made. Creating is not repeatable on Fly: when a call breaks off, what it may
 * have made must be looked for before anything else is made.
 */
export interface Creation<T> {
  /** For people who must look themselves. */
  readonly words: string;
  /** What is found is what was asked for; else others may have made it, and it is only told of. */
  readonly isCertain: boolean;
  readonly create: (api: MachinesApi) => Promise<T>;
  readonly find: (api: MachinesApi) => Promise<T | undefined>;
}

/**
 * Found again by the launch id in its metadata. A run that goes on with this one at the same time uses
 * that, too: what it made has a token that was never shown here, and is not ours.
 */
export function machineCreation(
  wish: Parameters<MachinesApi["createMachine"]>[0],
  launchId: string,
): Creation<FlyMachine> {
  return {
    words: `machine with metadata ${metadataKeys.launch}=${launchId}`,
    isCertain: true,
    create: async (api) => api.createMachine(wish),
    find: async (api) => {
      const machines = await api.listMachines({ [metadataKeys.launch]: launchId });
      const living = machines.filter((machine) => !isMachineGone(machine));
      const own = living.find((machine) => hasVariables(machine, wish.config["env"]));
      if (own === undefined && living[0] !== undefined) throw otherRun(living[0]);
      return own;
    },
  };
}

/**
 * Volumes carry no metadata: one that is new, free and of our name is the one that was asked for, unless
 * other tenants' have that name, too.
 */
export function volumeCreation(
  wish: Parameters<MachinesApi["createVolume"]>[0],
  claims: VolumeClaims,
  isTenantsName: boolean,
): Creation<FlyVolume> {
  return {
    words: `volume named ${wish.name}`,
    isCertain: isTenantsName,
    create: async (api) => api.createVolume(wish),
    find: async (api) => {
      const volumes = await api.listVolumes();
      return volumes.find((volume) => claims.isNew(volume, wish));
    },
  };
}

function hasVariables({ config }: FlyMachine, env: unknown): boolean {
  return Object.entries(Object(env)).every(([name, value]) => config?.env?.[name] === value);
}

function otherRun({ id }: FlyMachine): Failure {
  return new Failure("FV-ADM-003", "another run is making this tenant", {
    because: `it has made machine ${id}, with a token of its own`,
    fix: "wait until it has ended; if it has not finished, run the same command again",
  });
}

/** Asks once; when nobody can say what came of it, looks. */
export async function createOnce<T>(creation: Creation<T>, api: MachinesApi): Promise<T> {
  try {
    return await creation.create(api);
  } catch (error) {
    if (!(error instanceof MachinesApiError) || !mayBeMade(error)) throw error;
    if (!creation.isCertain) throw error;
    const found = await lookFor(creation, api, [500, 1_500]);
    if (found === undefined) throw error;
    return found;
  }
}

/** A name that is taken may have been taken by this very call, tried again on its way. */
function mayBeMade(error: MachinesApiError): boolean {
  return error.isOutcomeUnknown || error.kind === "conflict";
}

/** What Fly took on may show up late, so it is looked for after each of these pauses. */
export async function lookFor<T>(
  creation: Creation<T>,
  api: MachinesApi,
  pausesMs: readonly number[],
): Promise<T | undefined> {
  for (const pauseMs of pausesMs) {
    await api.pause(pauseMs);
    const found = await creation.find(api);
    if (found !== undefined) return found;
  }
  return undefined;
}
