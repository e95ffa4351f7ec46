/**
 * `fly-vault exec` as a pipe beside `ssh` as a pipe, both on loopback: `bun bench/exec.ts`.
 * Runs dist/. `FV_BENCH_PART=0.25` moves a quarter of the bytes. CPU time is user and system time of
 * each of our processes, in seconds a gigabyte moved (both directions count).
 */
import { closeSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPipe } from "../src/system/process-pipe.ts";
import { type LocalFly, startLocalFly } from "../test/support/local-fly.ts";
import { programEnv, programPath } from "../test/support/program.ts";
import { openBusyboxVault } from "./busybox-vault.ts";
import { clientOptions, daemonOptions, prepare } from "./transport/ssh.ts";
import { childCpuSeconds } from "./transport/subject.ts";

type Direction = "up" | "down" | "both";
const directions: readonly Direction[] = ["up", "down", "both"];
const bytes = Math.ceil((Number(process.env["FV_BENCH_PART"]) || 1) * 256e6);
const rounds = 3;

interface Subject {
  readonly name: string;
  /** The command line in front of the remote command. */
  readonly argv: readonly string[];
  readonly env: Record<string, string>;
  /** CPU seconds so far of the processes at the far end. */
  readonly farCpu: () => Readonly<Record<string, number>>;
}

interface Row {
  readonly name: string;
  readonly direction: Direction;
  /** Megabytes (10^6) a second, each way. */
  readonly rate: number;
  readonly cpu: Readonly<Record<string, number>>;
}

function remoteCommand(direction: Direction): readonly string[] {
  if (direction === "up") return ["sh", "-c", "'cat >/dev/null'"];
  return direction === "down" ? ["head", "-c", String(bytes), "/dev/zero"] : ["cat"];
}

/** Feeds and drains the command with programs of its own, so that nothing here slows it down. */
async function transfer(subject: Subject, direction: Direction): Promise<number> {
  const [near, far] = [openPipe(), openPipe()];
  const { env } = subject;
  const feed = direction === "down" ? "0" : String(bytes);
  const stdio = { env, stderr: "inherit" } as const;
  const source = Bun.spawn(["head", "-c", feed, "/dev/zero"], { ...stdio, stdout: near.writeFd });
  const words = remoteCommand(direction).map((word) =>
    subject.name === "ssh" ? word : word.replaceAll("'", ""),
  );
  const child = Bun.spawn([...subject.argv, ...words], {
    ...stdio,
    stdin: near.readFd,
    stdout: far.writeFd,
  });
  const sink = Bun.spawn(["wc", "-c"], { ...stdio, stdin: far.readFd, stdout: "pipe" });
  for (const fd of [near.readFd, near.writeFd, far.readFd, far.writeFd]) closeSync(fd);
  const [count, code] = await Promise.all([sink.stdout.text(), child.exited, source.exited]);
  if (code !== 0) throw new Error(`${subject.name} ended with ${code}`);
  const expected = direction === "up" ? 0 : bytes;
  if (Number(count) !== expected) throw new Error(`${count.trim()} bytes came, not ${expected}`);
  return Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1e6;
}

async function measure(subject: Subject, direction: Direction): Promise<Row> {
  let rate = 0;
  const cpu: Record<string, number> = { client: 0 };
  const before = subject.farCpu();
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    cpu["client"] = (cpu["client"] ?? 0) + (await transfer(subject, direction));
    rate = Math.max(rate, bytes / 1e3 / (performance.now() - start));
  }
  for (const [name, seconds] of Object.entries(subject.farCpu()))
    cpu[name] = seconds - (before[name] ?? 0);
  const gigabytes = (rounds * bytes * (direction === "both" ? 2 : 1)) / 1e9;
  for (const name of Object.keys(cpu)) cpu[name] = (cpu[name] ?? 0) / gigabytes;
  return { name: subject.name, direction, rate, cpu };
}

async function openVault(fly: LocalFly): Promise<Subject> {
  const { tenant, vault } = await openBusyboxVault(fly);
  const processes = machineProcesses(tenant.machineId);
  return {
    name: "fly-vault exec",
    argv: [programPath("fly-vault"), "exec", "dev", "--"],
    env: programEnv(vault.env),
    farCpu: () => Object.fromEntries([...processes].map(([name, pid]) => [name, cpuOf(pid)])),
  };
}

/** Of the process alone: ended commands of the workload are not ours. */
function cpuOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Keeper and link of a machine, told apart by their command lines. */
function machineProcesses(machineId: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      const [, role, part] = line.split("\0");
      const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
      if (role === "init" && (line + environment).includes(machineId))
        found.set(part === "link" ? "link" : "keeper", Number(pid));
    } catch {
      // It ended while we looked.
    }
  }
  return found;
}

/** sshd of our own with throw-away keys; its CPU time includes the far command, which is small. */
async function measureSsh(): Promise<Row[]> {
  const [ssh, sshd] = [Bun.which("ssh"), Bun.which("sshd") ?? "/usr/sbin/sshd"];
  if (ssh === null || !(await Bun.file(sshd).exists())) return [];
  const folder = mkdtempSync(join(tmpdir(), "fv-bench-ssh-"));
  const port = 20_000 + Math.floor(Math.random() * 20_000);
  const env = programEnv();
  mkdirSync("/run/sshd", { recursive: true });
  await prepare(folder);
  const daemon = Bun.spawn([sshd, "-D", "-e", "-f", "/dev/null", ...daemonOptions(folder, port)], {
    env,
    stderr: "ignore",
  });
  try {
    await Bun.sleep(300);
    return await measureAll({
      name: "ssh",
      argv: [ssh, "-q", ...clientOptions(folder, port), "127.0.0.1"],
      env,
      farCpu: () => ({ sshd: childCpuSeconds(daemon.pid) }),
    });
  } finally {
    daemon.kill();
    await daemon.exited;
    rmSync(folder, { recursive: true });
  }
}

async function measureAll(subject: Subject): Promise<Row[]> {
  const rows: Row[] = [];
  for (const direction of directions) rows.push(await measure(subject, direction));
  return rows;
}

async function measureVault(): Promise<Row[]> {
  const fly = await startLocalFly();
  try {
    return await measureAll(await openVault(fly));
  } finally {
    await fly.stop();
  }
}

const ours = await measureVault();
const theirs = await measureSsh();
for (const { name, direction, rate, cpu } of [...ours, ...theirs]) {
  const parts = Object.entries(cpu).map(([who, seconds]) => `${who} ${seconds.toFixed(1)}`);
  const line = `${rate.toFixed(1).padStart(7)} MB/s each way   CPU s/GB: ${parts.join(", ")}`;
  console.log(`${name.padEnd(15)} ${direction.padEnd(5)} ${line}`);
}
for (const [at, other] of theirs.entries()) {
  const own = ours[at];
  if (own === undefined) continue;
  const sum = (row: Row): number => Object.values(row.cpu).reduce((a, b) => a + b, 0);
  const [times, cost] = [own.rate / other.rate, sum(own) / sum(other)];
  console.log(
    `${own.direction}: ${times.toFixed(2)} times as fast as ssh, with ${cost.toFixed(1)} times its CPU`,
  );
}
process.exit(0);
