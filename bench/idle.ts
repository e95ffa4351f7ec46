import { benchmark, type Measured } from "./harness/benchmark.ts";
import { type Metrics, Samples } from "./harness/rounds.ts";
import { openSsh } from "./peers/openssh.ts";
import { cpuSeconds, ownMb, residentMb, wakeUps } from "./peers/process-figures.ts";
import { openBusyboxVault } from "./peers/vault.ts";

/** After half a minute without a request init rests; Bun's collector needs as long again to slow down. */
const settleMs = 75_000;

/** What a machine costs on which nobody does anything: keeper and link of init together, beside an idle sshd. */
await benchmark({
  name: "idle",
  rounds: 3,
  measure: async ({ rounds }) => {
    await using vault = await openBusyboxVault();
    await using ssh = await openSsh();
    await vault.stopLink();
    const init = vault.initPids;
    if (init.length !== 2) throw new Error(`${init.length} processes of init`);
    await Bun.sleep(settleMs);
    const ours: Metrics[] = [];
    const theirs: Metrics[] = [];
    for (let round = 0; round < rounds; round++) {
      const [own, other] = await Promise.all([idleFigures(init), ssh && idleFigures([ssh.pid])]);
      ours.push(own);
      if (other !== null) theirs.push(other);
    }
    const samples = new Samples(new Map([["ours", ours] as const, ["sshd", theirs] as const]));
    const shared = { peer: "sshd", better: "lower" } as const;
    return [
      samples.compare({
        ...shared,
        what: "init, idle: memory",
        metric: "mb",
        unit: "MB",
        goal: { of: "value", limit: 90 },
      }),
      samples.compare({
        ...shared,
        what: "init, idle: memory of its own",
        metric: "own",
        unit: "MB",
      }),
      samples.compare({
        ...shared,
        what: "init, idle: processor",
        metric: "cpuPercent",
        unit: "%",
        goal: { of: "value", limit: 0.2 },
      }),
      samples.compare({ ...shared, what: "init, idle: wake-ups", metric: "wakes", unit: "/s" }),
    ] satisfies Measured[];
  },
});

async function idleFigures(pids: readonly number[]): Promise<Metrics> {
  const sum = (of: (pid: number) => number): number =>
    pids.reduce((total, pid) => total + of(pid), 0);
  const [startMs, cpu, wakes] = [performance.now(), sum(cpuSeconds), sum(wakeUps)];
  await Bun.sleep(20_000);
  const seconds = (performance.now() - startMs) / 1000;
  return {
    mb: sum(residentMb),
    own: sum(ownMb),
    cpuPercent: (100 * (sum(cpuSeconds) - cpu)) / seconds,
    wakes: (sum(wakeUps) - wakes) / seconds,
  };
}
