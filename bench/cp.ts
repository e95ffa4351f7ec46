/**
 * `fly-vault cp` beside `scp -r` and `rsync -a`, all on loopback: `bun bench/cp.ts`. Runs dist/.
 * `FV_BENCH_PART=0.1` copies a tenth of the files and bytes. Each figure is the better of two runs
 * into an empty place; the last rows are a second run, with nothing or little changed.
 */
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LocalFly, startLocalFly } from "../test/support/local-fly.ts";
import { programEnv, programPath } from "../test/support/program.ts";
import { openBusyboxVault } from "./busybox-vault.ts";
import { clientOptions, daemonOptions, prepare } from "./transport/ssh.ts";

const part = Number(process.env["FV_BENCH_PART"]) || 1;
const files = Math.ceil(10_000 * part);
const bigBytes = Math.ceil(1024 ** 3 * part);
const rounds = 2;

interface Tool {
  readonly name: string;
  readonly copy: (from: string, to: string) => readonly string[];
  readonly env: Record<string, string>;
  /** A path at the far end, as the tool writes it. */
  readonly far: (path: string) => string;
  /** Removes and makes anew, at the far end. */
  readonly clear: () => Promise<void>;
}

const local = mkdtempSync(join(tmpdir(), "fv-bench-cp-"));

function makeFiles(): void {
  const tree = join(local, "tree");
  for (let index = 0; index < files; index++) {
    const folder = join(tree, `folder-${Math.floor(index / 100)}`);
    if (index % 100 === 0) mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `file-${index}`), randomBytes(1000 + ((index * 7919) % 6000)));
  }
  const fd = openSync(join(local, "big"), "w");
  for (let at = 0; at < bigBytes; at += 1024 * 1024)
    writeSync(fd, randomBytes(Math.min(1024 * 1024, bigBytes - at)));
  closeSync(fd);
}

async function timed(tool: Tool, from: string, to: string): Promise<number> {
  const start = performance.now();
  const argv = [...tool.copy(from, to)];
  const child = Bun.spawn(argv, { env: tool.env, stdout: "ignore", stderr: "pipe" });
  const [code, err] = await Promise.all([child.exited, child.stderr.text()]);
  if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code}: ${err}`);
  const seconds = (performance.now() - start) / 1000;
  if (process.env["FV_BENCH_TRACE"] !== undefined)
    console.log(`${argv.slice(0, 2).join(" ")} ${from} ${seconds.toFixed(2)} s`);
  return seconds;
}

const cases = ["files up", "files down", "big up", "big down", "files again", "big again"] as const;
type Case = (typeof cases)[number];

async function measure(tool: Tool): Promise<Map<Case, number>> {
  const best = new Map<Case, number>();
  const note = (name: Case, seconds: number): void =>
    void best.set(name, Math.min(seconds, best.get(name) ?? Number.POSITIVE_INFINITY));
  for (let round = 0; round < rounds; round++) {
    await tool.clear();
    const back = join(local, "back");
    rmSync(back, { recursive: true, force: true });
    mkdirSync(back);
    note("files up", await timed(tool, join(local, "tree"), tool.far("")));
    note("files down", await timed(tool, tool.far("tree"), back));
    note("files again", await timed(tool, join(local, "tree"), tool.far("")));
    note("big up", await timed(tool, join(local, "big"), tool.far("")));
    note("big down", await timed(tool, tool.far("big"), back));
    note("big again", await timed(tool, join(local, "big"), tool.far("")));
  }
  return best;
}

async function openVault(fly: LocalFly): Promise<Tool> {
  const { vault } = await openBusyboxVault(fly);
  return {
    name: "fly-vault cp",
    copy: (from, to) => [programPath("fly-vault"), "cp", "-rp", from, to],
    env: programEnv(vault.env),
    far: (path) => `dev:far/${path}`,
    clear: async () => {
      await vault.client(["exec", "dev", "--", "sh", "-c", "rm -rf /root/far; mkdir /root/far"]);
    },
  };
}

async function measureVault(): Promise<Map<Case, number>> {
  const fly = await startLocalFly();
  try {
    return await measure(await openVault(fly));
  } finally {
    await fly.stop();
  }
}

async function withSsh(body: (tools: readonly Tool[]) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "fv-bench-ssh-"));
  const port = 20_000 + Math.floor(Math.random() * 20_000);
  const env = programEnv();
  mkdirSync("/run/sshd", { recursive: true });
  await prepare(folder);
  const argv = ["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", ...daemonOptions(folder, port)];
  const subsystem = ["-o", "Subsystem=sftp internal-sftp"];
  const daemon = Bun.spawn([...argv, ...subsystem], { env, stderr: "ignore" });
  const far = join(folder, "far");
  const shared = {
    env,
    far: (path: string) => `127.0.0.1:${far}/${path}`,
    clear: async () => {
      rmSync(far, { recursive: true, force: true });
      mkdirSync(far);
    },
  };
  const options = clientOptions(folder, port).map((word) => word.replace(/^-p/, "-P"));
  const shell = `ssh ${clientOptions(folder, port).join(" ")}`;
  try {
    await Bun.sleep(300);
    await body([
      { ...shared, name: "scp -rp", copy: (from, to) => ["scp", "-rpq", ...options, from, to] },
      { ...shared, name: "rsync -a", copy: (from, to) => ["rsync", "-a", "-e", shell, from, to] },
    ]);
  } finally {
    daemon.kill();
    await daemon.exited;
    rmSync(folder, { recursive: true });
  }
}

makeFiles();
const results: { readonly name: string; readonly seconds: Map<Case, number> }[] = [];
results.push({ name: "fly-vault cp", seconds: await measureVault() });
await withSsh(async (tools) => {
  for (const tool of tools) results.push({ name: tool.name, seconds: await measure(tool) });
});
const [own, ...others] = results;
console.log(
  `${files} files of 1 to 7 KB, and one of ${(bigBytes / 1024 ** 2).toFixed(0)} MiB; seconds`,
);
for (const name of cases) {
  const mine = own?.seconds.get(name) ?? 0;
  const theirs = others.map(({ name: other, seconds }) => {
    const value = seconds.get(name) ?? 0;
    return `${other} ${value.toFixed(2)} (${(value / mine).toFixed(2)} x)`;
  });
  console.log(`${name.padEnd(12)} fly-vault cp ${mine.toFixed(2)}   ${theirs.join("   ")}`);
}
rmSync(local, { recursive: true });
process.exit(0);
