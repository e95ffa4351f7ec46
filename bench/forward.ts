/**
 * A forwarded TCP port beside `ssh -L` of an sshd of our own, all on loopback: `bun bench/forward.ts`.
 * Runs dist/. `FV_BENCH_PART=0.25` moves a quarter of the bytes. Medians, in MB (10^6) a second.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ByteStream } from "../src/protocol/byte-stream.ts";
import { connectTcp, listenTcp } from "../src/system/tcp-stream.ts";
import { programEnv, programPath } from "../test/support/program.ts";
import { startSshStage } from "../test/support/ssh-stage.ts";
import { clientOptions, daemonOptions, prepare } from "./transport/ssh.ts";

const bytes = Math.ceil((Number(process.env["FV_BENCH_PART"]) || 1) * 256 * 1024 * 1024);
const rounds = 5;
const block = new Uint8Array(256 * 1024);
const directions = ["up", "down"] as const;
type Direction = (typeof directions)[number];
type Rates = Readonly<Record<Direction, number>>;

/** The first byte says which way: "u" is taken in and answered at its end, "d" is sent. */
const target = listenTcp(
  { host: "127.0.0.1", port: 0 },
  { onConnection: (stream) => void serve(stream).catch(() => undefined) },
);

async function serve(stream: ByteStream): Promise<void> {
  const first = await stream.read();
  if (first?.[0] === 100) {
    for (let sent = 0; sent < bytes; sent += block.length) await stream.write(block);
  } else {
    while ((await stream.read()) !== null);
    await stream.write(Uint8Array.of(1));
  }
  await stream.end();
}

async function rate(port: number, direction: Direction): Promise<number> {
  const stream = await connectTcp({ host: "127.0.0.1", port });
  const startedMs = performance.now();
  await stream.write(new TextEncoder().encode(direction[0]));
  if (direction === "up")
    for (let sent = 0; sent < bytes; sent += block.length) await stream.write(block);
  await stream.end();
  let received = 0;
  for (let slice = await stream.read(); slice !== null; slice = await stream.read())
    received += slice.length;
  if (direction === "down" && received < bytes) throw new Error(`${received} bytes came`);
  return bytes / 1e3 / (performance.now() - startedMs);
}

async function measure(port: number): Promise<Rates> {
  await untilListening(port);
  const medianOf = async (direction: Direction): Promise<number> => {
    const all: number[] = [];
    for (let round = 0; round < rounds; round++) all.push(await rate(port, direction));
    return all.toSorted((a, b) => a - b)[rounds >> 1] ?? 0;
  };
  return { up: await medianOf("up"), down: await medianOf("down") };
}

async function measureThrough(argv: readonly string[], env: Record<string, string>, port: number) {
  const child = Bun.spawn([...argv], { env, stdio: ["ignore", "ignore", "inherit"] });
  try {
    return await measure(port);
  } finally {
    child.kill();
    await child.exited;
  }
}

async function untilListening(port: number): Promise<void> {
  for (let look = 0; look < 200; look++) {
    try {
      (await connectTcp({ host: "127.0.0.1", port })).abort(0);
      return;
    } catch {
      await Bun.sleep(50);
    }
  }
  throw new Error(`Nothing listens on ${port}`);
}

function freePort(): number {
  const probe = listenTcp({ host: "127.0.0.1", port: 0 }, { onConnection: () => undefined });
  probe.close();
  return probe.port;
}

async function measureVault(): Promise<Readonly<Record<string, Rates>>> {
  const stage = await startSshStage();
  const env = programEnv(stage.vault.env);
  const to = `127.0.0.1:${target.port}`;
  try {
    const own = freePort();
    const forward = [programPath("fly-vault"), "forward", "dev", `${own}:${to}`, "-q"];
    const config = join(stage.vault.home, ".ssh/config");
    const over = freePort();
    const ssh = ["ssh", "-q", "-N", "-F", config, "-L", `${over}:${to}`, "dev.vault"];
    return {
      "fly-vault forward": await measureThrough(forward, env, own),
      "ssh -L of a vault": await measureThrough(ssh, env, over),
    };
  } finally {
    await stage.stop();
  }
}

async function measureSshd(): Promise<Rates> {
  const folder = mkdtempSync(join(tmpdir(), "fv-bench-forward-"));
  const [daemonPort, port] = [freePort(), freePort()];
  const env = programEnv();
  mkdirSync("/run/sshd", { recursive: true });
  await prepare(folder);
  const sshd = Bun.which("sshd") ?? "/usr/sbin/sshd";
  const options = daemonOptions(folder, daemonPort);
  const daemon = Bun.spawn([sshd, "-D", "-e", "-f", "/dev/null", ...options], {
    env,
    stderr: "ignore",
  });
  try {
    await untilListening(daemonPort);
    const forward = ["-N", "-L", `${port}:127.0.0.1:${target.port}`];
    const argv = ["ssh", "-q", ...forward, ...clientOptions(folder, daemonPort), "127.0.0.1"];
    return await measureThrough(argv, env, port);
  } finally {
    daemon.kill();
    await daemon.exited;
    rmSync(folder, { recursive: true });
  }
}

const sshd = await measureSshd();
const rows = { "ssh -L of sshd": sshd, ...(await measureVault()) };
target.close();
console.log("                        up     ratio      down     ratio   (MB/s, medians)");
for (const [name, rates] of Object.entries(rows)) {
  const cells = directions.map(
    (direction) =>
      rates[direction].toFixed(0).padStart(10) +
      (rates[direction] / sshd[direction]).toFixed(2).padStart(10),
  );
  console.log(name.padEnd(18) + cells.join(""));
}
