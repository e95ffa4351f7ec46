import { benchmark, type Measured } from "./harness/benchmark.ts";
import { interleave } from "./harness/rounds.ts";
import { openSsh } from "./peers/openssh.ts";
import { TcpTarget, untilListening } from "./peers/tcp-target.ts";
import { openBusyboxVault } from "./peers/vault.ts";

const ports = { ours: 4001, ssh: 4002 } as const;

/** A forwarded TCP port beside `ssh -L`, on loopback. */
await benchmark({
  name: "forward",
  rounds: 4,
  measure: async ({ rounds, part }) => {
    await using vault = await openBusyboxVault();
    await using ssh = await openSsh();
    const figures: Measured[] = [];
    for (const connections of [1, 8]) {
      using target = new TcpTarget(Math.ceil((128e6 * part) / connections));
      const to = `127.0.0.1:${target.port}`;
      const own = vault.client("forward", "dev", `${ports.ours}:${to}`, "-q");
      await using running = new AsyncDisposableStack();
      running.use(await openForward(own, vault.env, ports.ours));
      if (ssh !== null) {
        const theirs = ssh.ssh(["-N", "-L", `${ports.ssh}:${to}`]);
        running.use(await openForward(theirs, ssh.env, ports.ssh));
      }
      for (const direction of ["up", "down"] as const) {
        const over = (port: number) => async () => ({
          rate: await target.rate(port, direction, connections),
        });
        const samples = await interleave(rounds, {
          ours: over(ports.ours),
          "ssh -L": ssh && over(ports.ssh),
        });
        figures.push(
          samples.compare({
            what: `forward, ${direction}, ${connections === 1 ? "1 connection" : `${connections} connections`}`,
            peer: "ssh -L",
            metric: "rate",
            unit: "MB/s",
            better: "higher",
            goal: { of: "ratio", limit: 0.6 },
          }),
        );
      }
    }
    return figures;
  },
});

async function openForward(
  argv: readonly string[],
  env: Record<string, string>,
  port: number,
): Promise<AsyncDisposable> {
  const child = Bun.spawn([...argv], { env, stdio: ["ignore", "ignore", "inherit"] });
  await untilListening(port);
  return {
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await child.exited;
    },
  };
}
