import { benchmark } from "./harness/benchmark.ts";
import { interleave } from "./harness/rounds.ts";
import { commandMs, commandPeakMb } from "./peers/command.ts";
import { openSsh } from "./peers/openssh.ts";
import { openBusyboxVault } from "./peers/vault.ts";

/** The bare start of the client, and the memory of one that runs a command. */
await benchmark({
  name: "start",
  rounds: 15,
  measure: async ({ rounds }) => {
    await using vault = await openBusyboxVault();
    await using ssh = await openSsh();
    await commandMs(vault.client("exec", "dev", "--", "true"), vault.env);
    const rest = ["sleep", "5"];
    const samples = await interleave(rounds, {
      ours: async () => ({
        ms: await commandMs(vault.client("--version"), vault.env),
        mb: await commandPeakMb(vault.client("exec", "dev", "--", ...rest), vault.env, 1000),
      }),
      ssh:
        ssh &&
        (async () => ({
          ms: await commandMs(["ssh", "-V"], ssh.env),
          mb: await commandPeakMb([...ssh.ssh(), ...rest], ssh.env, 1000),
        })),
    });
    const shared = { peer: "ssh", better: "lower" } as const;
    return [
      samples.compare({
        ...shared,
        what: "start of the client (`--version`)",
        metric: "ms",
        unit: "ms",
        goal: { of: "value", limit: 40 },
      }),
      samples.compare({
        ...shared,
        what: "memory of a client with a command",
        metric: "mb",
        unit: "MB",
        goal: { of: "value", limit: 60 },
      }),
    ];
  },
});
