import { defineCommand } from "../../../cli/command.ts";
import { formatDuration } from "../../../cli/duration.ts";
import { overVault } from "../link/over-vault.ts";
import { machineStatus } from "./status.ts";
import { linkFlags, readVault, vaultPositional } from "../link/vault-link.ts";

export const wakeCommand = defineCommand({
  name: "wake",
  summary: "Start the machine of a vault, and wait until it can be worked on",
  positionals: { vault: vaultPositional },
  flags: linkFlags,
  description:
    "A stopped or suspended machine is started by its proxy; without a proxy it must run already. Ends once the machine is attested, knows the token and answers.",
  examples: ["fly-vault wake my-dev && make test"],
  exitStatus: "0 it is up; 6 it did not come up",
  seeAlso: ["fly-vault stop", "fly-vault status"],
  run: async ({ flags, positionals, global }, context) => {
    const startedMs = context.monotonicMs();
    const vault = await readVault(positionals.vault, { flags, global }, context);
    return overVault(vault, { flags, global }, context, async ({ config, link }) => {
      // A background link may still stand whose machine is gone.
      await machineStatus(link);
      const { machineId, region } = link.login.machine;
      const where = region === undefined ? "" : ` in ${region}`;
      const took = formatDuration(context.monotonicMs() - startedMs);
      if (!global.quiet)
        await context.stderr.write(
          `"${config.name}" is up: machine ${machineId}${where}, ${took}\n`,
        );
      return 0;
    });
  },
});
