/**
 * ssh to a vault beside ssh to an sshd of our own, both on loopback: `bun bench/ssh.ts`. Runs dist/.
 * `FV_BENCH_PART=0.25` moves a quarter of the bytes.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programEnv } from "../test/support/program.ts";
import { startSshStage } from "../test/support/ssh-stage.ts";
import { clientOptions, daemonOptions, prepare } from "./transport/ssh.ts";

const bytes = Math.ceil((Number(process.env["FV_BENCH_PART"]) || 1) * 256e6);
const rounds = 3;
const directions = ["up", "down", "both"] as const;
type Direction = (typeof directions)[number];

interface Subject {
  readonly name: string;
  /** ssh with all that stands before the command. */
  readonly argv: readonly string[];
  readonly env: Record<string, string>;
}

interface Measured {
  readonly name: string;
  /** Megabytes (10^6) a second, each way. */
  readonly rates: Readonly<Record<Direction, number>>;
  /** Milliseconds of `true`: a connection of its own, and over a shared one. */
  readonly aloneMs: number;
  readonly sharedMs: number;
}

async function measure(subject: Subject): Promise<Measured> {
  const rates = { up: 0, down: 0, both: 0 };
  for (const direction of directions)
    for (let round = 0; round < rounds; round++)
      rates[direction] = Math.max(rates[direction], await rate(subject, direction));
  const control = join(tmpdir(), `fv-bench-${process.pid}.sock`);
  // A vault lets one in a second log in for long; before that comes a burst.
  await Bun.sleep(15_000);
  const aloneMs = await fastest(subject, []);
  const shared = ["-S", control];
  const master = Bun.spawn(withFlags(subject, ["-M", "-N", ...shared]), { env: subject.env });
  await Bun.sleep(2000);
  const sharedMs = await fastest(subject, shared);
  master.kill();
  await master.exited;
  return { name: subject.name, rates, aloneMs, sharedMs };
}

async function rate({ argv, env }: Subject, direction: Direction): Promise<number> {
  const remote = { up: "cat >/dev/null", down: `head -c ${bytes} /dev/zero`, both: "cat" };
  const feed = direction === "down" ? 0 : bytes;
  const words = [...argv, remote[direction]].map((word) => `'${word}'`).join(" ");
  const startedMs = performance.now();
  const child = Bun.spawn(["sh", "-c", `head -c ${feed} /dev/zero | ${words} | wc -c`], { env });
  const moved = Number(await new Response(child.stdout).text());
  const expected = direction === "up" ? 0 : bytes;
  if (moved !== expected) throw new Error(`${direction}: ${moved} bytes came, not ${expected}`);
  return bytes / 1e3 / (performance.now() - startedMs);
}

async function fastest(subject: Subject, flags: readonly string[]): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < 2 * rounds; round++) {
    const startedMs = performance.now();
    const child = Bun.spawn([...withFlags(subject, flags), "true"], { env: subject.env });
    if ((await child.exited) !== 0) throw new Error("true failed");
    times.push(performance.now() - startedMs);
  }
  return Math.min(...times);
}

function withFlags({ argv }: Subject, flags: readonly string[]): string[] {
  const [ssh = "", ...words] = argv;
  return [ssh, ...flags, ...words];
}

async function measureVault(): Promise<Measured> {
  const stage = await startSshStage();
  try {
    const config = join(stage.vault.home, ".ssh/config");
    const env = programEnv(stage.vault.env);
    return await measure({ name: "vault", argv: ["ssh", "-q", "-F", config, "dev.vault"], env });
  } finally {
    await stage.stop();
  }
}

async function measureSshd(): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), "fv-bench-ssh-"));
  const port = 20_000 + Math.floor(Math.random() * 20_000);
  const env = programEnv();
  mkdirSync("/run/sshd", { recursive: true });
  await prepare(folder);
  const sshd = Bun.which("sshd") ?? "/usr/sbin/sshd";
  const daemon = Bun.spawn([sshd, "-D", "-e", "-f", "/dev/null", ...daemonOptions(folder, port)], {
    env,
    stderr: "ignore",
  });
  try {
    await Bun.sleep(300);
    const argv = ["ssh", "-q", ...clientOptions(folder, port), "127.0.0.1"];
    return await measure({ name: "sshd", argv, env });
  } finally {
    daemon.kill();
    await daemon.exited;
    rmSync(folder, { recursive: true });
  }
}

const [vault, sshd] = [await measureVault(), await measureSshd()];
console.log("                up      down      both   (MB/s)    true alone   over ControlMaster");
for (const { name, rates, aloneMs, sharedMs } of [vault, sshd]) {
  const cells = directions.map((direction) => rates[direction].toFixed(0).padStart(9)).join(" ");
  const times = [`${aloneMs.toFixed(0)} ms`.padStart(20), `${sharedMs.toFixed(0)} ms`.padStart(12)];
  console.log(`${name.padEnd(8)}${cells}${times.join("")}`);
}
const ratios = directions.map((direction) =>
  (vault.rates[direction] / sshd.rates[direction]).toFixed(2).padStart(9),
);
console.log(`ratio   ${ratios.join(" ")}`);
