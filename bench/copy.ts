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
import { benchmark, type Measured } from "./harness/benchmark.ts";
import { interleave } from "./harness/rounds.ts";
import { findProgram } from "./harness/sandbox.ts";
import { commandMs } from "./peers/command.ts";
import { type OpenSsh, openSsh } from "./peers/openssh.ts";
import { type BusyboxVault, openBusyboxVault } from "./peers/vault.ts";

interface Tool {
  readonly argv: (from: string, to: string) => readonly string[];
  readonly env: Record<string, string>;
  /** A path at the far end, as the tool writes it. */
  readonly far: (path: string) => string;
  readonly makeFar: (folder: string) => Promise<unknown>;
  readonly removeFar: (folder: string) => Promise<unknown>;
}

/** Each into a folder of its own. */
let copies = 0;

/**
 * `fly-vault cp` beside `scp -rp` and `rsync -a`, on loopback, into a new folder each time. No tree is taken
 * away before the end: ext4 without a journal keeps off inodes that were freed in the last minutes, and
 * searches past all of them for each new file, which was most of what any tool took here.
 */
await benchmark({
  name: "copy",
  rounds: 2,
  measure: async ({ rounds, part }) => {
    const local = mkdtempSync(join(tmpdir(), "copy-"));
    const [files, bytes] = [Math.ceil(10_000 * part), Math.ceil(1024 ** 3 * part)];
    makeTree(join(local, "tree"), files);
    makeFile(join(local, "big"), bytes);
    await using vault = await openBusyboxVault();
    await using ssh = await openSsh();
    const tools = { ours: ourTool(vault), scp: ssh && scpTool(ssh), rsync: ssh && rsyncTool(ssh) };
    const figures: Measured[] = [];
    for (const [name, what, limit] of [
      ["tree", `cp of ${files} small files`, 0.5],
      ["big", `cp of ${(bytes / 1024 ** 3).toFixed(2).replace(".00", "")} GiB`, 1.2],
    ] as const) {
      const turns = Object.entries(tools).map(([tool, it]) => [
        tool,
        it && (async () => bothWays(it, local, name)),
      ]);
      const samples = await interleave(rounds, Object.fromEntries(turns));
      for (const metric of ["up", "down"])
        for (const peer of ["scp", "rsync"])
          figures.push(
            samples.compare({
              what: `${what}, ${metric}`,
              peer,
              metric,
              unit: "s",
              better: "lower",
              goal: { of: "ratio", limit },
            }),
          );
    }
    return figures;
  },
});

async function bothWays(tool: Tool, local: string, name: string) {
  copies += 1;
  const [far, back] = [`far-${copies}`, join(local, `back-${copies}`)];
  await tool.makeFar(far);
  mkdirSync(back);
  const upMs = await commandMs(tool.argv(join(local, name), tool.far(`${far}/`)), tool.env);
  const downMs = await commandMs(tool.argv(tool.far(`${far}/${name}`), back), tool.env);
  if (name === "big") {
    await tool.removeFar(far);
    rmSync(back, { recursive: true });
  }
  return { up: upMs / 1000, down: downMs / 1000 };
}

function ourTool(vault: BusyboxVault): Tool {
  const inside = async (...words: readonly string[]) =>
    commandMs(vault.client("exec", "dev", "--", ...words), vault.env);
  return {
    argv: (from, to) => vault.client("cp", "-rp", from, to),
    env: vault.env,
    far: (path) => `dev:${path}`,
    makeFar: async (far) => inside("mkdir", `/root/${far}`),
    removeFar: async (far) => inside("rm", "-r", `/root/${far}`),
  };
}

function scpTool(ssh: OpenSsh): Tool | null {
  const program = findProgram("scp");
  if (program === null) return null;
  return { ...sshTool(ssh), argv: (from, to) => [program, "-rpq", ...ssh.copyFlags, from, to] };
}

function rsyncTool(ssh: OpenSsh): Tool | null {
  const program = findProgram("rsync");
  if (program === null) return null;
  return { ...sshTool(ssh), argv: (from, to) => [program, "-a", "-e", ssh.shell, from, to] };
}

function sshTool({ folder, env }: OpenSsh): Omit<Tool, "argv"> {
  return {
    env,
    far: (path) => `127.0.0.1:${folder}/${path}`,
    makeFar: async (far) => mkdirSync(join(folder, far)),
    removeFar: async (far) => rmSync(join(folder, far), { recursive: true }),
  };
}

function makeTree(tree: string, files: number): void {
  for (let index = 0; index < files; index++) {
    const folder = join(tree, `folder-${Math.floor(index / 100)}`);
    if (index % 100 === 0) mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `file-${index}`), randomBytes(1000 + ((index * 7919) % 6000)));
  }
}

function makeFile(path: string, bytes: number): void {
  const fd = openSync(path, "w");
  for (let at = 0; at < bytes; at += 1024 * 1024)
    writeSync(fd, randomBytes(Math.min(1024 * 1024, bytes - at)));
  closeSync(fd);
}
