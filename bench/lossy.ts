import { benchmark, type Measured } from "./harness/benchmark.ts";
import { interleave, type Metrics, type Subject } from "./harness/rounds.ts";
import { farAddress, Link } from "./link/link.ts";
import { openSsh } from "./peers/openssh.ts";
import { openBusyboxVault } from "./peers/vault.ts";

const rttMs = 50;
const goals = new Map([
  [0, 1],
  [0.01, 3],
  [0.03, 5],
]);
const warmUpMs = 2000;
const measuredMs = 5000;

/**
 * What a pipe from the far end carries over a line with delay and loss, once it is under way. TCP's
 * congestion control is what decides there: cubic is Linux's own, BBR what one may set instead.
 */
await benchmark({
  name: "lossy",
  rounds: 3,
  measure: async ({ rounds }) => {
    await using link = await Link.open();
    await using vault = await openBusyboxVault();
    await using ssh = await openSsh();
    link.leadTo(vault.host);
    const source = ["cat", "/dev/zero"];
    const ours = link.near(vault.client("exec", "-q", "dev", "--", ...source));
    const sshPorts = ["cubic", "bbr"].map(
      (control) => [`ssh, ${control}`, ssh?.listenWith(control) ?? null] as const,
    );
    const figures: Measured[] = [];
    for (const [loss, limit] of goals) {
      const over = async (argv: readonly string[], env: Record<string, string>) => {
        await link.setWeather({ delayMs: rttMs / 2, loss });
        return steadyRate(argv, env);
      };
      const overSsh = (port: number | null): Subject =>
        ssh && port
          ? async () => over(link.near([...ssh.ssh([], farAddress, port), ...source]), ssh.env)
          : null;
      const samples = await interleave(rounds, {
        ours: async () => over(ours, vault.env),
        ...Object.fromEntries(sshPorts.map(([name, port]) => [name, overSsh(port)])),
      });
      const shared = {
        what: `pipe down, ${rttMs} ms RTT, ${loss * 100} % loss`,
        metric: "rate",
        unit: "MB/s",
        better: "higher",
      } as const;
      figures.push(
        samples.compare({ ...shared, peer: "ssh, cubic", goal: { of: "ratio", limit } }),
        samples.compare({ ...shared, peer: "ssh, bbr" }),
      );
    }
    return figures;
  },
});

/** Megabytes a second of a command that writes without end. */
async function steadyRate(argv: readonly string[], env: Record<string, string>): Promise<Metrics> {
  const child = Bun.spawn([...argv], { env, stdin: "ignore", stderr: "inherit" });
  const began = Promise.withResolvers<void>();
  let bytes = 0;
  const reading = (async () => {
    for await (const part of child.stdout) {
      bytes += part.length;
      began.resolve();
    }
    began.resolve();
  })();
  await began.promise;
  await Bun.sleep(warmUpMs);
  const [startBytes, startMs] = [bytes, performance.now()];
  await Bun.sleep(measuredMs);
  const rate = (bytes - startBytes) / 1e3 / (performance.now() - startMs);
  if (child.exitCode !== null) throw new Error(`${argv.join(" ")} ended early`);
  child.kill();
  await reading;
  return { rate };
}
