import type { Context } from "../../../cli/context.ts";
import { stateDirectory } from "../../../cli/paths.ts";
import { type KnownMachine, KnownMachineError, KnownMachines } from "./known-machines.ts";

/** The record of first use, for showing: a damaged one is none. */
export async function seenRecord(
  vault: string,
  env: Context["env"],
): Promise<KnownMachine | undefined> {
  try {
    return await new KnownMachines(stateDirectory(env)).read(vault);
  } catch (error) {
    if (error instanceof KnownMachineError) return undefined;
    throw error;
  }
}
