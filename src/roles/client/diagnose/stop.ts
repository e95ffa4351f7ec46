import * as v from "valibot";
import { counted } from "../../../cli/counted.ts";
import { defineCommand } from "../../../cli/command.ts";
import { askOnce } from "../link/ask-once.ts";
import { overVault, type VaultWork } from "../link/over-vault.ts";
import { confirmFlags, confirmed, untilAborted } from "../vault/prompting.ts";
import { linkFlags, readVault, vaultPositional } from "../link/vault-link.ts";
import { endLinksOf } from "../shared-link/link-list.ts";
import { machineReport } from "./status.ts";

export const stopCommand = defineCommand({
  name: "stop",
  summary: "Switch the machine of a vault off; what is on its volume stays",
  positionals: { vault: vaultPositional },
  flags: {
    ...confirmFlags,
    ...linkFlags,
  },
  description:
    'As poweroff in the machine: its services are stopped in order, then init ends. Whether the platform starts it again is up to the restart policy of the machine: with "no" or "on-failure" it stays off until it is woken.',
  examples: ["fly-vault stop my-dev", "fly-vault stop my-dev --yes"],
  exitStatus: "0 it is going down; 2 sessions run and --yes was not said; 6 no answer",
  seeAlso: ["fly-vault wake", "fly-vault status"],
  run: async ({ flags, positionals, global }, context) => {
    const vault = await readVault(positionals.vault, { flags, global }, context);
    const work = async ({ link, config }: VaultWork): Promise<number> => {
      const { sessions_running: running } = await machineReport(link);
      const question = `${counted(running, "session")} ${running === 1 ? "runs" : "run"} on "${config.name}"; switch it off?`;
      const what = `switch "${config.name}" off while sessions run there`;
      if (running > 0 && !(await confirmed(question, { flags, what }, context))) return 1;
      await askOnce(link, { type: "power-off" }, v.object({}));
      // It still stands while services end there, and the next command must not take that for a machine.
      await endLinksOf(config, context.env);
      if (!global.quiet) await context.stderr.write(`"${config.name}" is going down\n`);
      return 0;
    };
    return untilAborted(context, async () => overVault(vault, { flags, global }, context, work));
  },
});
