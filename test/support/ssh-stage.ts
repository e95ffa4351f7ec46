import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LocalFly, startLocalFly } from "./local-fly.ts";
import { type LocalVault, makeLocalVault } from "./local-vault.ts";
import { programEnv } from "./program.ts";
import { makeRootfsArchive } from "./rootfs-archive.ts";

/** A laptop with OpenSSH, whose configuration knows the vault `dev.vault` by `ssh-config install`. */
export interface SshStage {
  readonly fly: LocalFly;
  readonly vault: LocalVault;
  /** A folder of the laptop for the files of one test. */
  readonly folder: string;
  /** Runs ssh, or another of OpenSSH's programs, to its end. */
  run(argv: readonly string[], options?: SshRunOptions): Promise<SshResult>;
  spawn(argv: readonly string[], env?: Readonly<Record<string, string>>): SshChild;
  /** Process ids on the machine, by a word of their command lines ("init ssh", "init link"). */
  processes(words: string): number[];
  stop(): Promise<void>;
}

export interface SshRunOptions {
  readonly stdin?: Uint8Array | string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Over a connection of its own: each one is a login, of which a machine lets through one in a second. */
  readonly alone?: boolean;
}

export interface SshResult {
  readonly code: number;
  readonly out: Buffer;
  readonly text: string;
  readonly err: string;
}

export type SshChild = Bun.Subprocess<"pipe", "pipe", "pipe">;

/** Programs of this computer that the guest has as well, with their libraries. */
const guestPrograms = {
  "/usr/bin/ssh-add": "/usr/bin/ssh-add",
  "/usr/bin/scp": "/usr/bin/scp",
  "/usr/bin/rsync": "/usr/bin/rsync",
  "/usr/bin/git": "/usr/bin/git",
  "/usr/bin/git-receive-pack": "/usr/bin/git",
  "/usr/lib/git-core/git": "/usr/bin/git",
} as const;

export async function startSshStage(): Promise<SshStage> {
  const fly = await startLocalFly();
  const vault = await makeLocalVault(fly, await fly.createTenant("acme"));
  const files: Record<string, Uint8Array> = {};
  for (const [inside, program] of Object.entries(guestPrograms)) {
    files[inside] = readFileSync(program);
    for (const library of librariesOf(program)) files[library] = readFileSync(library);
  }
  const executables = Object.keys(files);
  const rootfs = await makeRootfsArchive(fly.folder, { format: "tar.zst", files, executables });
  await vault.configure({ rootfs });
  const folder = join(vault.home, "work");
  mkdirSync(folder);
  for (const argv of [
    ["exec", "dev", "true"],
    ["ssh-config", "install", "--yes"],
  ]) {
    const done = await vault.client(argv);
    if (done.exitCode !== 0) throw new Error(`${argv.join(" ")}: ${done.stderr}`);
  }
  // OpenSSH finds its files by the user's entry in passwd, whatever HOME says.
  const config = join(vault.home, ".ssh", "config");
  // Short, for the sake of the path that a socket may have.
  const controls = mkdtempSync(join(tmpdir(), "fvc-"));
  const spawn: SshStage["spawn"] = (argv, env = {}) => startChild(argv, { config, vault, env });
  return {
    fly,
    vault,
    folder,
    spawn,
    run: async (argv, options = {}) => {
      const { env = {}, cwd, alone = false } = options;
      const shared = alone ? {} : { controls };
      const child = startChild(argv, { config, vault, env, cwd, ...shared });
      return finish(child, options.stdin ?? "");
    },
    processes: (words) => processesOf(fly.folder, words),
    stop: async () => {
      for (const name of readdirSync(controls))
        await Bun.spawn(["ssh", "-S", join(controls, name), "-O", "exit", "any"], {
          env: programEnv(),
          stderr: "ignore",
        }).exited;
      rmSync(controls, { recursive: true });
      await vault.client(["link", "stop", "dev"]);
      await fly.stop();
    },
  };
}

const sharingLinks = { FLY_VAULT_NO_LINK: "" } as const;

const sshPrograms: ReadonlySet<string> = new Set(["ssh", "scp", "sftp"]);

interface Surroundings {
  readonly config: string;
  readonly vault: LocalVault;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string | undefined;
  /** Where connections are that are shared; without it this one is not. */
  readonly controls?: string;
}

function startChild(
  [program = "", ...words]: readonly string[],
  { config, vault, env, cwd, controls }: Surroundings,
): SshChild {
  const options =
    controls === undefined
      ? ["ControlPath=none"]
      : [`ControlPath=${controls}/%C`, "ControlMaster=auto", "ControlPersist=30"];
  // An option of the command's own is said first, and counts.
  const flags = options.flatMap((option) => ["-o", option]);
  const own = words.some((word) => word === "-S" || word === "-M") ? [] : flags;
  const argv = sshPrograms.has(program)
    ? [program, "-F", config, ...own, ...words]
    : [program, ...words];
  const shell = ["ssh", "-F", config, ...flags].join(" ");
  return Bun.spawn(argv, {
    cwd: cwd ?? vault.home,
    env: {
      ...programEnv(vault.env),
      // A login for each connection would have to wait for its turn at the machine.
      ...sharingLinks,
      RSYNC_RSH: shell,
      GIT_SSH_COMMAND: shell,
      GIT_CONFIG_NOSYSTEM: "1",
      ...env,
    },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 50_000,
    killSignal: "SIGKILL",
  });
}

async function finish(child: SshChild, stdin: Uint8Array | string): Promise<SshResult> {
  const feeding = feed(child, stdin);
  const [out, err, code] = await Promise.all([
    child.stdout.bytes(),
    child.stderr.text(),
    child.exited,
    feeding,
  ]);
  return { code, out: Buffer.from(out), text: new TextDecoder().decode(out), err };
}

async function feed(child: SshChild, stdin: Uint8Array | string): Promise<void> {
  try {
    await child.stdin.write(stdin);
    await child.stdin.end();
  } catch {
    // It ended without reading everything.
  }
}

function librariesOf(program: string): string[] {
  const { stdout } = Bun.spawnSync(["ldd", program], { env: programEnv() });
  return [...stdout.toString().matchAll(/(\/\S+) \(0x/g)].map((match) => match[1] ?? "");
}

function processesOf(folder: string, words: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const line = commandLine(pid);
      return line.includes(` ${words} `) && line.includes(folder);
    });
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}

/** Resident memory of a process, in bytes. */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1024;
}
