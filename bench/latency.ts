/**
 * How long one command takes beside `ssh`, on loopback, and the bare start of the program:
 * `bun bench/latency.ts`. Runs dist/. The subjects take turns, so that all meet the same weather.
 * `FV_BENCH_ROUNDS=50` for more rounds. Times are milliseconds from spawn to exit.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LocalFly, startLocalFly } from "../test/support/local-fly.ts";
import { programEnv, programPath } from "../test/support/program.ts";
import { openBusyboxVault } from "./busybox-vault.ts";
import { clientOptions, daemonOptions, prepare } from "./transport/ssh.ts";

interface Subject {
  readonly name: string;
  readonly argv: readonly string[];
  readonly env: Record<string, string>;
  /** Not timed. */
  readonly before?: () => Promise<void>;
}

interface Row {
  readonly name: string;
  readonly medianMs: number;
  readonly tenthMs: number;
  readonly ninetiethMs: number;
  readonly cpuMs: number;
}

const rounds = Number(process.env["FV_BENCH_ROUNDS"]) || 25;

async function runOnce({ argv, env }: Subject): Promise<{ ms: number; cpuMs: number }> {
  const startMs = performance.now();
  const child = Bun.spawn([...argv], { env, stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const code = await child.exited;
  const ms = performance.now() - startMs;
  if (code !== 0)
    throw new Error(`${argv.join(" ")} ended with ${code}: ${await child.stderr.text()}`);
  return { ms, cpuMs: Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1e3 };
}

async function measure(subjects: readonly Subject[]): Promise<Row[]> {
  const samples = subjects.map(() => ({ ms: [] as number[], cpuMs: [] as number[] }));
  for (let round = 0; round < rounds; round++) {
    for (const [at, subject] of subjects.entries()) {
      await subject.before?.();
      const { ms, cpuMs } = await runOnce(subject);
      samples[at]?.ms.push(ms);
      samples[at]?.cpuMs.push(cpuMs);
    }
  }
  return subjects.map(({ name }, at) => {
    const { ms = [], cpuMs = [] } = samples[at] ?? {};
    return {
      name,
      medianMs: quantile(ms, 0.5),
      tenthMs: quantile(ms, 0.1),
      ninetiethMs: quantile(ms, 0.9),
      cpuMs: quantile(cpuMs, 0.5),
    };
  });
}

function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;
}

async function openVault(
  fly: LocalFly,
): Promise<{ subjects: Subject[]; stop: () => Promise<void> }> {
  const { vault } = await openBusyboxVault(fly);
  const env = programEnv({ ...vault.env, FLY_VAULT_NO_LINK: "" });
  const own = programPath("fly-vault");
  const stop = async (): Promise<void> => {
    await runOnce({ name: "stop", argv: [own, "link", "stop"], env });
  };
  const exec = [own, "exec", "dev"];
  return {
    stop,
    subjects: [
      { name: "fly-vault --version", argv: [own, "--version"], env },
      { name: "fly-vault exec --help", argv: [own, "exec", "--help"], env },
      {
        name: "exec true (cold)",
        argv: [...exec, "--", "true"],
        env,
        before: async () => {
          await stop();
          await rest();
        },
      },
      { name: "exec true (warm)", argv: [...exec, "--", "true"], env },
      {
        name: "exec true (--no-link)",
        argv: [...exec, "--no-link", "--", "true"],
        env,
        before: rest,
      },
    ],
  };
}

/** The machine asks Fly for evidence once a second at most; that wait is none of the client's. */
async function rest(): Promise<void> {
  await Bun.sleep(1100);
}

/** sshd of our own with throw-away keys, without and with a connection that stands already. */
async function openSsh(): Promise<{ subjects: Subject[]; stop: () => Promise<void> }> {
  const [ssh, sshd] = [Bun.which("ssh"), Bun.which("sshd") ?? "/usr/sbin/sshd"];
  if (ssh === null || !(await Bun.file(sshd).exists()))
    return { subjects: [], stop: () => Promise.resolve() };
  const folder = mkdtempSync(join(tmpdir(), "fv-bench-ssh-"));
  const port = 20_000 + Math.floor(Math.random() * 20_000);
  const env = programEnv();
  mkdirSync("/run/sshd", { recursive: true });
  await prepare(folder);
  // The start-up files of this computer's shell are none of ssh's time.
  const options = [...daemonOptions(folder, port), "-o", "SetEnv=HOME=/nonexistent"];
  const daemon = Bun.spawn([sshd, "-D", "-e", "-f", "/dev/null", ...options], {
    env,
    stderr: "ignore",
  });
  await Bun.sleep(300);
  const base = [ssh, "-q", ...clientOptions(folder, port)];
  const control = ["-o", `ControlPath=${folder}/control`];
  const master = Bun.spawn([...base, ...control, "-M", "-N", "127.0.0.1"], { env });
  await Bun.sleep(500);
  return {
    subjects: [
      { name: "ssh true", argv: [...base, "127.0.0.1", "true"], env },
      { name: "ssh true (ControlMaster)", argv: [...base, ...control, "127.0.0.1", "true"], env },
    ],
    stop: async () => {
      master.kill();
      daemon.kill();
      await Promise.all([master.exited, daemon.exited]);
      rmSync(folder, { recursive: true });
    },
  };
}

function show(ms: number): string {
  return ms.toFixed(1).padStart(9);
}

const fly = await startLocalFly();
try {
  const [ours, theirs] = [await openVault(fly), await openSsh()];
  const rows = await measure([...ours.subjects, ...theirs.subjects]);
  await ours.stop();
  await theirs.stop();
  console.log(`${"".padEnd(26)}   median       p10       p90       CPU   (ms, ${rounds} rounds)`);
  for (const { name, medianMs, tenthMs, ninetiethMs, cpuMs } of rows)
    console.log(name.padEnd(26) + [medianMs, tenthMs, ninetiethMs, cpuMs].map(show).join(" "));
  const median = (name: string): number =>
    rows.find((row) => row.name === name)?.medianMs ?? Number.NaN;
  const start = median("fly-vault --version");
  for (const [own, other] of [
    ["exec true (cold)", "ssh true"],
    ["exec true (warm)", "ssh true"],
    ["exec true (warm)", "ssh true (ControlMaster)"],
  ] as const) {
    const ratio = median(own) / median(other);
    console.log(`${own} takes ${ratio.toFixed(2)} times as long as ${other}`);
  }
  for (const own of ["exec true (cold)", "exec true (warm)", "exec true (--no-link)"])
    console.log(`${own}: ${(median(own) - start).toFixed(1)} ms over the start of the program`);
} finally {
  await fly.stop();
}
process.exit(0);
