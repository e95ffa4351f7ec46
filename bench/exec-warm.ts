import { benchmark } from "./harness/benchmark.ts";
import { interleave } from "./harness/rounds.ts";
import { commandMs } from "./peers/command.ts";
import { openSsh } from "./peers/openssh.ts";
import { openBusyboxVault } from "./peers/vault.ts";

const peer = "ssh, ControlMaster";

/** One command over a connection that stands: our background link, ssh's ControlMaster. */
await benchmark({
  name: "exec-warm",
  rounds: 25,
  measure: async ({ rounds }) => {
    await using vault = await openBusyboxVault();
    await using ssh = await openSsh();
    await using master = ssh && (await ssh.openMaster());
    const ours = vault.client("exec", "dev", "--", "true");
    await commandMs(ours, vault.env);
    const samples = await interleave(rounds, {
      ours: async () => ({ ms: await commandMs(ours, vault.env) }),
      [peer]:
        ssh &&
        master &&
        (async () => ({ ms: await commandMs([...ssh.ssh(master.flags), "true"], ssh.env) })),
    });
    return [
      samples.compare({
        what: "`exec true`, warm",
        peer,
        metric: "ms",
        unit: "ms",
        better: "lower",
        goal: { of: "ratio", limit: 0.7 },
      }),
    ];
  },
});
