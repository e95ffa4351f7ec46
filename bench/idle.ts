import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { benchmark, type Measured } from "./harness/benchmark.ts";
import { type Metrics, Samples } from "./harness/rounds.ts";
import { commandMs } from "./peers/command.ts";
import { openSsh } from "./peers/openssh.ts";
import {
  commandLine,
  cpuSeconds,
  ownMb,
  processesWith,
  residentMb,
  wakeUps,
} from "./peers/process-figures.ts";
import { type BusyboxVault, openBusyboxVault } from "./peers/vault.ts";

/** Half a minute after the last request ours rest; Bun's collector needs as long again to slow down. */
const settleMs = 75_000;

/**
 * What is paid where nobody does anything: keeper and link of init together, beside an idle sshd; then a
 * background link, on the user's computer.
 */
await benchmark({
  name: "idle",
  rounds: 3,
  measure: async ({ rounds }) => {
    await using vault = await openBusyboxVault();
    await using ssh = await openSsh();
    await vault.stopLink();
    const init = vault.initPids;
    if (init.length !== 2) throw new Error(`${init.length} processes of init`);
    const machine = { ours: init, peer: "sshd", theirs: ssh?.pid };
    const ofMachine = await idleRows(rounds, "init", machine, { mb: 90, cpuPercent: 0.2 });
    await using master = await ssh?.openMaster();
    const ours = [await startLink(vault)];
    const client = { ours, peer: "ssh, ControlMaster", theirs: master?.pid };
    return [...ofMachine, ...(await idleRows(rounds, "background link", client, {}))];
  },
});

interface Goals {
  readonly mb?: number;
  readonly cpuPercent?: number;
}

interface Pair {
  readonly ours: readonly number[];
  /** Its name and its process, absent where it is not installed. */
  readonly peer: string;
  readonly theirs: number | undefined;
}

async function idleRows(
  rounds: number,
  who: string,
  pair: Pair,
  goals: Goals,
): Promise<Measured[]> {
  const samples = await idleRounds(rounds, pair);
  const row = (what: string, metric: string, unit: string, limit?: number): Measured =>
    samples.compare({
      peer: pair.peer,
      better: "lower",
      what: `${who}, idle: ${what}`,
      metric,
      unit,
      ...(limit === undefined ? {} : { goal: { of: "value", limit } }),
    });
  return [
    row("memory", "mb", "MB", goals.mb),
    row("memory of its own", "own", "MB"),
    row("processor", "cpuPercent", "%", goals.cpuPercent),
    row("wake-ups", "wakes", "/s"),
  ];
}

async function idleRounds(rounds: number, { ours, peer, theirs }: Pair): Promise<Samples> {
  await Bun.sleep(settleMs);
  const own: Metrics[] = [];
  const other: Metrics[] = [];
  for (let round = 0; round < rounds; round++) {
    const [one, two] = await Promise.all([
      idleFigures(ours),
      theirs === undefined ? null : idleFigures([theirs]),
    ]);
    own.push(one);
    if (two !== null) other.push(two);
  }
  return new Samples(new Map([["ours", own] as const, [peer, other] as const]));
}

/** Its process. The usual folder for its socket is outside of the sandbox, and others tidy it up. */
async function startLink(vault: BusyboxVault): Promise<number> {
  const runtime = join(vault.fly.folder, "run");
  mkdirSync(runtime, { mode: 0o700 });
  const env = { ...vault.env, XDG_RUNTIME_DIR: runtime };
  await commandMs(vault.client("exec", "dev", "--", "true"), env);
  const [pid, ...others] = processesWith("link").filter((each) =>
    commandLine(each).includes(" link serve "),
  );
  if (pid === undefined || others.length > 0) throw new Error("not one background link");
  return pid;
}

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
