import { benchmark } from "./harness/benchmark.ts";
import { interleave } from "./harness/rounds.ts";
import { commandMs } from "./peers/command.ts";
import { openSsh } from "./peers/openssh.ts";
import { openBusyboxVault } from "./peers/vault.ts";

/** One command with nothing there yet: no background link, no ControlMaster. */
await benchmark({
  name: "exec-cold",
  rounds: 15,
  measure: async ({ rounds }) => {
    await using vault = await openBusyboxVault();
    await using ssh = await openSsh();
    const samples = await interleave(rounds, {
      ours: async () => {
        await vault.stopLink();
        // The machine asks Fly for evidence once a second at most; that wait is none of the client's.
        await Bun.sleep(1100);
        return { ms: await commandMs(vault.client("exec", "dev", "--", "true"), vault.env) };
      },
      ssh: ssh && (async () => ({ ms: await commandMs([...ssh.ssh(), "true"], ssh.env) })),
    });
    return [
      samples.compare({
        what: "`exec true`, cold",
        peer: "ssh",
        metric: "ms",
        unit: "ms",
        better: "lower",
        goal: { of: "ratio", limit: 0.3 },
      }),
    ];
  },
});
