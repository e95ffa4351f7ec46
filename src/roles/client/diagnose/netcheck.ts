import { type Check, runChecks } from "../../../cli/check.ts";
import { checkJson, renderCheck, resultJson } from "../../../cli/check-table.ts";
import { defineCommand } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { configPath } from "../../../cli/paths.ts";
import { colouredMark } from "../../../cli/symbols.ts";
import { existsSync } from "node:fs";
import { readOverview, vaultOf, type VaultConfig } from "../vault/vault-config.ts";

export const netcheckCommand = defineCommand({
  name: "netcheck",
  summary: "Look at the network between here and your vaults, without their tokens",
  positionals: { vault: { name: "VAULT", optional: true } },
  flags: { json: { summary: "one line of JSON a check, and one for the result" } },
  description:
    "Names, UDP, and TCP where a proxy is in between: what answers, in which time, and what follows for the commands. Without VAULT all of them are looked at.",
  examples: ["fly-vault netcheck", "fly-vault netcheck my-dev --json"],
  exitStatus: "0 every vault can be reached by some way; 1 one cannot",
  seeAlso: ["fly-vault doctor", "fly-vault ping"],
  run: async ({ flags, positionals }, context) => {
    const { ownNetwork } = await import("./own-network.ts");
    const { pathChecks } = await import("./path-checks.ts");
    const checks: Check[] = [
      { name: "network", title: "this computer", run: async () => ownNetwork() },
      ...vaultsFor(positionals.vault, context).flatMap((config) => pathChecks(config, context)),
    ];
    const reports = await runChecks(checks, context.monotonicMs, async (report) =>
      context.stdout.write(
        flags.json
          ? checkJson(report)
          : renderCheck(report, (status) => colouredMark(status, "stdout", context)),
      ),
    );
    if (flags.json) await context.stdout.write(resultJson(reports, "netcheck"));
    return reports.some(({ status }) => status === "failed") ? 1 : 0;
  },
});

/** Works before there is a configuration, too: then this computer alone is looked at. */
function vaultsFor(said: string | undefined, { env }: Context): VaultConfig[] {
  if (said === undefined && !existsSync(configPath(env))) return [];
  const overview = readOverview(env);
  const names = said === undefined ? overview.names : [said];
  return names.map((name) => vaultOf(overview, name).vault);
}
