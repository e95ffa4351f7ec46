import { benchmark, type Measured } from "./harness/benchmark.ts";
import { interleave } from "./harness/rounds.ts";
import { openIperf } from "./peers/iperf.ts";
import { openSsh } from "./peers/openssh.ts";
import { pipeCommand, pipeRate } from "./peers/pipe-transfer.ts";
import { openBusyboxVault } from "./peers/vault.ts";
import { openOurs } from "./transport/ours.ts";

const directions = ["up", "down"] as const;
const udp = "raw UDP, iperf3";

/** One stream on loopback: `exec` as a pipe beside ssh as a pipe, and our transport beside bare datagrams. */
await benchmark({
  name: "stream",
  rounds: 4,
  measure: async ({ rounds, part }) => {
    const bytes = Math.ceil(128e6 * part);
    return [...(await measurePipes(rounds, bytes)), ...(await measureTransport(rounds, bytes))];
  },
});

async function measurePipes(rounds: number, bytes: number): Promise<Measured[]> {
  await using vault = await openBusyboxVault();
  await using ssh = await openSsh();
  const figures: Measured[] = [];
  for (const direction of directions) {
    const remote = pipeCommand(direction, bytes);
    const moved = { direction, bytes };
    const samples = await interleave(rounds, {
      ours: async () => ({
        rate: await pipeRate(
          vault.client("exec", "-q", "dev", "--", "sh", "-c", remote),
          vault.env,
          moved,
        ),
      }),
      ssh: ssh && (async () => ({ rate: await pipeRate([...ssh.ssh(), remote], ssh.env, moved) })),
    });
    figures.push(
      samples.compare({
        what: `pipe, ${direction}`,
        peer: "ssh",
        metric: "rate",
        unit: "MB/s",
        better: "higher",
        goal: { of: "ratio", limit: 0.5 },
      }),
    );
  }
  return figures;
}

async function measureTransport(rounds: number, bytes: number): Promise<Measured[]> {
  await using ours = await openOurs("fly-vault", { datagramBytesMax: 1200 });
  await using iperf = await openIperf();
  await ours.connect();
  const figures: Measured[] = [];
  for (const direction of directions) {
    const samples = await interleave(rounds, {
      ours: async () => {
        const startMs = performance.now();
        await ours.transfer(direction, 1, bytes);
        return { rate: bytes / 1e3 / (performance.now() - startMs) };
      },
      [udp]: iperf && (async () => ({ rate: iperf.rate(direction) })),
    });
    figures.push(
      samples.compare({
        what: `QUIC stream, ${direction}, datagrams of 1200 bytes`,
        peer: udp,
        metric: "rate",
        unit: "MB/s",
        better: "higher",
        goal: { of: "ratio", limit: 0.7 },
      }),
    );
  }
  return figures;
}
