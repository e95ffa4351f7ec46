import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Mount } from "../test/roles/init-provision/volume-fixture.ts";
import type { Measured } from "./provision/keeper.child.ts";

/**
 * Provisioning a root filesystem of 500 MB in 16 000 entries, beside GNU tar. Ours hashes, checks and
 * brings everything to disk; so tar is timed alone and with `sync -f` behind it. Every run gets an
 * empty ext4 of its own: on a used one the search for free inodes swamps what is measured.
 * `bun bench/provision.ts [rounds]`
 */
const entries = 16_000;
const totalBytes = 500 * 1024 * 1024;
const rounds = Number(process.argv[2] ?? 3);
const env = { PATH: process.env["PATH"] ?? "" };
const scratch = mkdtempSync(join(tmpdir(), "fv-bench-"));
const keeper = fileURLToPath(new URL("provision/keeper.child.ts", import.meta.url));

try {
  makeTree(join(scratch, "tree"));
  const rows: string[][] = [];
  for (const [name, packFlag, unpackFlags] of [
    ["tar.gz", "-z", ["-xzpf"]],
    ["tar.zst", "--zstd", ["--zstd", "-xpf"]],
    ["tar", "", ["-xpf"]],
  ] as const) {
    const file = join(scratch, `rootfs.${name}`);
    run(
      "tar",
      ...(packFlag === "" ? [] : [packFlag]),
      "-C",
      join(scratch, "tree"),
      "-cf",
      file,
      ".",
    );
    const tarMs: number[] = [];
    const syncedMs: number[] = [];
    const ours: Measured[] = [];
    for (let round = 0; round < rounds; round++) {
      const { aloneMs, withSyncMs } = timeTar(file, unpackFlags);
      tarMs.push(aloneMs);
      syncedMs.push(withSyncMs);
      ours.push(timeOurs(file));
    }
    const unpackMs = median(ours.map((one) => one.unpackMs));
    const totalMs = median(ours.map((one) => one.totalMs));
    rows.push([
      name,
      seconds(median(tarMs)),
      seconds(median(syncedMs)),
      seconds(unpackMs),
      seconds(totalMs),
      (unpackMs / median(tarMs)).toFixed(2),
      (totalMs / median(syncedMs)).toFixed(2),
      Math.max(...ours.map((one) => one.childMib)).toFixed(0),
      Math.max(...ours.map((one) => one.initMib)).toFixed(0),
    ]);
  }
  const head = [
    "archive",
    "tar s",
    "tar+sync s",
    "unpack s",
    "staged s",
    "unpack/tar",
    "staged/tar+sync",
    "child MiB",
    "init MiB",
  ];
  print([head, ...rows]);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

/** Sizes spread as in a distribution (many small, few large), content half text and half noise. */
function makeTree(root: string): void {
  let seed = 1;
  const random = (): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return seed / 2 ** 31;
  };
  const noise = new Uint8Array(4 * 1024 * 1024).map(() => Math.floor(random() * 256));
  const words = Buffer.from(
    Array.from({ length: 200_000 }, () => Math.floor(random() * 50_000).toString(36)).join(" "),
  );
  const weights = Array.from({ length: entries }, () => Math.exp(random() * 9));
  const weightSum = weights.reduce((sum, weight) => sum + weight, 0);
  for (const [index, weight] of weights.entries()) {
    const size = Math.round((weight / weightSum) * totalBytes);
    const source = index % 2 === 0 ? words : noise;
    const start = Math.floor(random() * (source.length / 2));
    const parts: Uint8Array[] = [];
    for (let left = size; left > 0; left -= source.length / 2) {
      parts.push(source.subarray(start, start + Math.min(left, source.length / 2)));
    }
    const path = join(root, `usr/d${index % 40}/e${index % 900}/file${index}`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, Buffer.concat(parts));
  }
  mkdirSync(join(root, "bin"));
  writeFileSync(join(root, "bin/sh"), "#!", { mode: 0o755 });
}

function timeTar(file: string, flags: readonly string[]) {
  using disk = Mount.ext4(2048);
  const startMs = performance.now();
  run("tar", ...flags, file, "-C", disk.dir);
  const aloneMs = performance.now() - startMs;
  run("sync", "-f", disk.dir);
  return { aloneMs, withSyncMs: performance.now() - startMs };
}

function timeOurs(file: string): Measured {
  using disk = Mount.ext4(2048);
  return JSON.parse(run(process.execPath, keeper, disk.dir, file)) as Measured;
}

function run(...command: readonly string[]): string {
  const done = Bun.spawnSync([...command], { env });
  if (done.exitCode !== 0) throw new Error(`${command.join(" ")}: ${done.stderr.toString()}`);
  return done.stdout.toString();
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(2);
}

function print(rows: readonly (readonly string[])[]): void {
  for (const row of rows) console.log(row.map((cell) => cell.padStart(16)).join(""));
}
