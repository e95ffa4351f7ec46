import { programEnv } from "../test/support/program.ts";
import { startSshStage } from "../test/support/ssh-stage.ts";
import { join } from "node:path";
import { benchmark, type Measured } from "./harness/benchmark.ts";
import { interleave } from "./harness/rounds.ts";
import { commandMs } from "./peers/command.ts";
import { openSsh } from "./peers/openssh.ts";
import { pipeCommand, pipeRate } from "./peers/pipe-transfer.ts";

/** ssh to a vault beside ssh to an sshd: what the same program gets from either. */
await benchmark({
  name: "ssh-door",
  rounds: 3,
  measure: async ({ rounds, part }) => {
    const bytes = Math.ceil(64e6 * part);
    const stage = await startSshStage();
    await using ssh = await openSsh();
    const env = programEnv({ ...stage.vault.env, FLY_VAULT_NO_LINK: "" });
    const vault = ["ssh", "-q", "-F", join(stage.vault.home, ".ssh/config"), "dev.vault"];
    const figures: Measured[] = [];
    for (const direction of ["up", "down", "both"] as const) {
      const remote = pipeCommand(direction, bytes);
      const moved = { direction, bytes };
      const samples = await interleave(rounds, {
        ours: async () => ({ rate: await pipeRate([...vault, remote], env, moved) }),
        ssh:
          ssh && (async () => ({ rate: await pipeRate([...ssh.ssh(), remote], ssh.env, moved) })),
      });
      const what = `ssh to a vault, pipe, ${direction}`;
      figures.push(
        samples.compare({ what, peer: "ssh", metric: "rate", unit: "MB/s", better: "higher" }),
      );
    }
    const samples = await interleave(rounds, {
      ours: async () => ({ ms: await commandMs([...vault, "true"], env) }),
      ssh: ssh && (async () => ({ ms: await commandMs([...ssh.ssh(), "true"], ssh.env) })),
    });
    const what = "ssh to a vault, `true`";
    figures.push(samples.compare({ what, peer: "ssh", metric: "ms", unit: "ms", better: "lower" }));
    await stage.stop();
    return figures;
  },
});
