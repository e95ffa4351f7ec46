import { type Check, runChecks } from "../../../cli/check.ts";
import { checkJson, isUtf8Locale, renderCheck, resultJson } from "../../../cli/check-table.ts";
import { defineCommand, type GlobalOptions } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { loadChosenVault } from "../vault/vault-choice.ts";
import { linkFlags, type LinkFlagValues, vaultPositional } from "../link/vault-link.ts";
import { configurationCheck, foldersCheck, type FoundVault, programCheck } from "./own-checks.ts";
import { ownNetwork } from "./own-network.ts";
import { pathChecks } from "./path-checks.ts";
import { VaultChecks } from "./vault-checks.ts";

export const doctorCommand = defineCommand({
  name: "doctor",
  summary: "Check everything between you and a vault, with what to do about each trouble",
  positionals: { vault: vaultPositional },
  flags: { json: { summary: "one line of JSON a check, and one for the result" }, ...linkFlags },
  description:
    "In the order in which one thing depends on another: program, configuration, token, network, attestation, login, and how the machine is. Changes nothing and needs no root.",
  examples: ["fly-vault doctor my-dev", "fly-vault doctor --json"],
  exitStatus: "0 nothing failed; 1 something did",
  seeAlso: ["fly-vault netcheck", "fly-vault bundle", "fly-vault explain"],
  run: async ({ flags, positionals, global }, context) => {
    const isUtf8 = isUtf8Locale(context.env);
    const checks = await doctorChecks({ said: positionals.vault, flags, global }, context);
    const reports = await runChecks(checks, context.monotonicMs, async (report) =>
      context.stdout.write(flags.json ? checkJson(report) : renderCheck(report, isUtf8)),
    );
    if (flags.json) await context.stdout.write(resultJson(reports, "doctor"));
    return reports.some(({ status }) => status === "failed") ? 1 : 0;
  },
});

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
