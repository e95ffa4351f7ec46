import type { Check } from "../../../cli/check.ts";
import type { GlobalOptions } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { loadChosenVault } from "../vault/vault-choice.ts";
import type { LinkFlagValues } from "../link/vault-link.ts";
import { configurationCheck, foldersCheck, type FoundVault, programCheck } from "./own-checks.ts";
import { ownNetwork } from "./own-network.ts";
import { pathChecks } from "./path-checks.ts";
import { VaultChecks } from "./vault-checks.ts";

export interface DoctorWish {
  readonly said: string | undefined;
  readonly flags: LinkFlagValues;
  readonly global: GlobalOptions;
}

/** Of the vault that is meant; without one those of this computer. */
export async function doctorChecks(wish: DoctorWish, context: Context): Promise<Check[]> {
  const found = await meantVault(wish, context);
  const own: Check[] = [
    programCheck(),
    configurationCheck(found, context),
    foldersCheck(context),
    { name: "network", title: "this computer", run: async () => ownNetwork() },
  ];
  if (!("config" in found)) return own;
  const vault = new VaultChecks(found.config, wish.flags, context);
  return [...own, vault.token(), ...pathChecks(found.config, context), ...vault.rest()];
}

async function meantVault(wish: DoctorWish, context: Context): Promise<FoundVault> {
  try {
    const { vault, warnings } = await loadChosenVault(wish.said, wish, context);
    return { config: vault, warnings };
  } catch (error) {
    if (error instanceof Failure || error instanceof UsageError) return { error };
    throw error;
  }
}
