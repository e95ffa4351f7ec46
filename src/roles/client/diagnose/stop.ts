import * as v from "valibot";
import { counted } from "../../../cli/counted.ts";
import { defineCommand } from "../../../cli/command.ts";
import { formatDuration } from "../../../cli/duration.ts";
import { Failure } from "../../../cli/failure.ts";
import { late, within } from "../../../system/within.ts";
import { clientLimits } from "../limits.ts";
import { askOnce } from "../link/ask-once.ts";
import { overVault, type VaultWork } from "../link/over-vault.ts";
import { confirmFlags, confirmed, untilAborted } from "../vault/prompting.ts";
import { linkFlags, readVault, vaultPositional } from "../link/vault-link.ts";
import { endLinksOf } from "../shared-link/link-list.ts";
import { machineReport } from "./status.ts";

function stillUp(vault: string): Failure {
  return new Failure("FV-VM-007", `"${vault}" is still up`, {
    because: `its link had not ended after ${formatDuration(clientLimits.stopWaitMs)}`,
    fix: `fly-vault status ${vault}`,
  });
}

export const stopCommand = defineCommand({
  name: "stop",
  summary: "Switch the machine of a vault off; what is on its volume stays",
  positionals: { vault: vaultPositional },
  flags: {
    wait: { summary: "until its link has ended, two minutes at most" },
    ...confirmFlags,
    ...linkFlags,
  },
  description:
    'As poweroff in the machine: its services are stopped in order, then init ends. Whether the platform starts it again is up to the restart policy of the machine: with "no" or "on-failure" it stays off until it is woken. A console or a forward that is left open somewhere dials again, and wakes it if there is a proxy.',
  examples: ["fly-vault stop my-dev", "fly-vault stop my-dev --yes"],
  exitStatus:
    "0 it is going down, with --wait down; 2 sessions run and --yes was not said; 6 no answer",
  seeAlso: ["fly-vault wake", "fly-vault status"],
  run: async ({ flags, positionals, global }, context) => {
    const vault = await readVault(positionals.vault, { flags, global }, context);
    const work = async ({ link, config }: VaultWork): Promise<number> => {
      const { sessions_running: running } = await machineReport(link);
      const question = `${counted(running, "session")} ${running === 1 ? "runs" : "run"} on "${config.name}"; switch it off?`;
      const what = `switch "${config.name}" off while sessions run there`;
      if (running > 0 && !(await confirmed(question, { flags, what }, context))) return 1;
      const say = async (words: string): Promise<void> => {
        if (!global.quiet) await context.stderr.write(`"${config.name}" is ${words}\n`);
      };
      const { closed } = await link.connection();
      await askOnce(link, { type: "power-off" }, v.object({}));
      await say("going down");
      // A background link still stands while services end there; the next command must not take that for a machine.
      if (!flags.wait) {
        await endLinksOf(config, context.env);
        return 0;
      }
      if ((await within(closed, clientLimits.stopWaitMs)) === late) throw stillUp(config.name);
      // Else it would be dialled again, and woken.
      await link.close();
      await endLinksOf(config, context.env);
      await say("down");
      return 0;
    };
    // A background link would dial again before we can keep it from that.
    const wish = { flags, global, ...(flags.wait ? { fresh: true as const } : {}) };
    return untilAborted(context, async () => overVault(vault, wish, context, work));
  },
});
