import { Failure } from "../../cli/failure.ts";
import { MachinesApiError } from "../../fly/api-error.ts";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import { apiErrorLine } from "./api-failure.ts";

/** Up to the first failure, which is told with what is done and what is not. `what` the machines were to get. */
export async function oneByOne<T extends { readonly machine: FlyMachine }>(
  vaults: readonly T[],
  what: string,
  work: (vault: T) => Promise<void>,
): Promise<void> {
  for (const [at, vault] of vaults.entries()) {
    try {
      await work(vault);
    } catch (error) {
      if (!(error instanceof MachinesApiError)) throw error;
      const ids = vaults.map(({ machine }) => machine.id);
      throw new Failure("FV-ADM-004", `machine ${vault.machine.id} did not get ${what}`, {
        because: `${apiErrorLine(error)}; done: ${listed(ids.slice(0, at))}; not done: ${listed(ids.slice(at))}`,
        fix: "run the same command again; it goes on where this stopped",
      });
    }
  }
}

function listed(ids: readonly string[]): string {
  const shown = ids.slice(0, shownMax).join(", ");
  if (ids.length === 0) return "none";
  return ids.length > shownMax ? `${shown} and ${ids.length - shownMax} more` : shown;
}

const shownMax = 20;
