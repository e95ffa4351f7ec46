/**
 * From the moment the network is back to the first byte of output on the terminal: our client beside
 * mosh, each over a relay on loopback that lets nothing through for a while: `bun bench/resume.ts`.
 * Runs the client from source against a real init. `FV_BENCH_PART=0.25` makes fewer rounds. Without
 * Debian's package mosh its column stays empty.
 */
import { TestMachine } from "../test/roles/init/machine.ts";
import { TestVault } from "../test/support/test-vault.ts";
import { UdpRelay } from "../test/support/udp-relay.ts";

const rounds = Math.max(2, Math.round(10 * (Number(process.env["FV_BENCH_PART"]) || 1)));
const outagesMs = [1000, 4000, 12_000];
/** Something to be seen at any moment. */
const ticker = ["/bin/sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done"];

interface Subject {
  readonly name: string;
  readonly relay: UdpRelay;
  readonly terminal: Watched;
  readonly close?: () => void;
}

/** A program on a terminal, and when it last said something. */
class Watched {
  readonly child: Bun.Subprocess;
  bytes = 0;
  #next = Promise.withResolvers<void>();

  constructor(argv: readonly string[], env: Readonly<Record<string, string>>) {
    this.child = Bun.spawn([...argv], {
      env: { ...env },
      terminal: {
        rows: 24,
        cols: 80,
        data: (_terminal, bytes) => {
          if (!isOutput(bytes)) return;
          this.bytes += bytes.length;
          this.#next.resolve();
          this.#next = Promise.withResolvers();
        },
      },
    });
  }

  async nextOutput(): Promise<void> {
    await this.#next.promise;
  }

  close(): void {
    this.child.kill("SIGKILL");
  }
}

/** Neither our line about a link that is down nor mosh's, nor what moves the cursor. */
function isOutput(bytes: Uint8Array): boolean {
  const text = Buffer.from(bytes).toString();
  // oxlint-disable-next-line no-control-regex -- terminals are spoken to in control characters
  const plain = text.replaceAll(/\u001b(?:\[[0-?]*[ -/]*[@-~]|[^[])/g, "");
  return !/link down|mosh:|ago|contact/.test(plain) && /\d/.test(plain);
}

async function measure({ relay, terminal }: Subject, outageMs: number): Promise<number> {
  await terminal.nextOutput();
  // Another phase of whatever counts time in there, in each round.
  await Bun.sleep(300 + Math.random() * 1000);
  relay.blackHole(outageMs);
  const backMs = performance.now() + outageMs;
  await Bun.sleep(outageMs);
  await terminal.nextOutput();
  return performance.now() - backMs;
}

async function ours(vault: TestVault): Promise<Subject> {
  const [host = "", port = ""] = vault.address.split(":");
  const relay = await UdpRelay.open({ host, port: Number(port) }, { delayMs: 10 });
  await vault.configure({ address: `127.0.0.1:${relay.address.port}` });
  const client = [process.execPath, "src/main.ts", "exec", "-q", "-t", "dev", ...ticker];
  return { name: "fly-vault", relay, terminal: new Watched(client, vault.env) };
}

async function mosh(): Promise<Subject | undefined> {
  if (Bun.which("mosh-server") === null || Bun.which("mosh-client") === null) return undefined;
  const env = { PATH: process.env["PATH"] ?? "", LANG: "C.UTF-8", TERM: "xterm-256color" };
  const server = Bun.spawnSync(["mosh-server", "new", "-i", "127.0.0.1", "--", ...ticker], { env });
  const [, port, key] = /MOSH CONNECT (\d+) (\S+)/.exec(server.stdout.toString()) ?? [];
  const [, pid] = /mosh-server detached, pid = (\d+)/.exec(server.stderr.toString()) ?? [];
  if (port === undefined || key === undefined || Number(pid) <= 1 || pid === undefined)
    throw new Error(server.stderr.toString());
  const relay = await UdpRelay.open({ host: "127.0.0.1", port: Number(port) }, { delayMs: 10 });
  const client = ["mosh-client", "127.0.0.1", String(relay.address.port)];
  const terminal = new Watched(client, { ...env, MOSH_KEY: key });
  return { name: "mosh", relay, terminal, close: () => process.kill(Number(pid), "SIGTERM") };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

const machine = await TestMachine.boot();
const vault = await TestVault.open();
vault.keeper = async () => machine.connect();
const subjects = [await ours(vault), await mosh()].flatMap((subject) => subject ?? []);
console.log("outage  what       median ms  worst ms   (first output after the network is back)");
for (const outageMs of outagesMs) {
  const tookMs = subjects.map(() => [] as number[]);
  for (let round = 0; round < rounds; round++) {
    const results = await Promise.all(subjects.map((subject) => measure(subject, outageMs)));
    for (const [index, ms] of results.entries()) tookMs[index]?.push(ms);
  }
  for (const [index, { name }] of subjects.entries()) {
    const values = tookMs[index] ?? [];
    const cells = [median(values), Math.max(...values)].map((ms) => ms.toFixed(0).padStart(9));
    console.log(`${`${outageMs / 1000} s`.padEnd(6)}  ${name.padEnd(9)}  ${cells.join("  ")}`);
  }
}
for (const { terminal, relay, close } of subjects) {
  terminal.close();
  close?.();
  await relay[Symbol.asyncDispose]();
}
await vault.close();
await machine[Symbol.asyncDispose]();
