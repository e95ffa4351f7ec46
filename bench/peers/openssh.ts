import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programEnv } from "../../test/support/program.ts";
import { findProgram, system } from "../harness/sandbox.ts";

/** An sshd with keys made for the moment, on every address of the sandbox, and how clients reach it. */
export interface OpenSsh extends AsyncDisposable {
  readonly pid: number;
  readonly folder: string;
  readonly env: Record<string, string>;
  /** `ssh` with everything that comes before the command. */
  ssh(flags?: readonly string[], host?: string, onPort?: number): string[];
  /** A port where what sshd sends is under this congestion control, whatever the system's is. Null without socat. */
  listenWith(congestionControl: string): number | null;
  /** A command that keeps a connection for others, which ask for it with the flags it gives; until closed. */
  openMaster(): Promise<SharedConnection>;
  /** What `rsync -e` and `scp -S` want: ssh without a host. */
  readonly shell: string;
  /** For scp. */
  readonly copyFlags: readonly string[];
}

export interface SharedConnection extends AsyncDisposable {
  readonly pid: number;
  readonly flags: readonly string[];
}

const port = 2222;
/** IPPROTO_TCP, TCP_CONGESTION. */
const congestionOption = "6:13";

/** Null where OpenSSH is not installed. */
export async function openSsh(): Promise<OpenSsh | null> {
  const [ssh, sshd] = [findProgram("ssh"), findProgram("sshd")];
  if (ssh === null || sshd === null) return null;
  const folder = mkdtempSync(join(tmpdir(), "ssh-"));
  const env = programEnv();
  mkdirSync("/run/sshd", { recursive: true });
  for (const name of ["host", "user"])
    system("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", join(folder, name));
  const settings = join(folder, "sshd_config");
  writeFileSync(settings, daemonSettings(folder));
  const daemon = Bun.spawn([sshd, "-D", "-e", "-f", settings], {
    env,
    stderr: "ignore",
  });
  const options = clientFlags(folder);
  const listeners: Bun.Subprocess[] = [];
  const base = (flags: readonly string[], host: string, onPort = port): string[] => [
    ssh,
    "-q",
    `-p${onPort}`,
    ...options,
    ...flags,
    host,
  ];
  await untilAnswered(base([], "127.0.0.1"), env);
  return {
    pid: daemon.pid,
    folder,
    env,
    ssh: (flags = [], host = "127.0.0.1", onPort = port) => base(flags, host, onPort),
    listenWith: (congestionControl) => {
      const socat = findProgram("socat");
      if (socat === null) return null;
      const ownPort = port + 1 + listeners.length;
      const listen = `TCP4-LISTEN:${ownPort},fork,reuseaddr,setsockopt-string=${congestionOption}:${congestionControl}`;
      listeners.push(
        Bun.spawn([socat, listen, `EXEC:${sshd} -i -f ${settings},nofork`], {
          env,
          stderr: "ignore",
        }),
      );
      return ownPort;
    },
    openMaster: async () => openMaster(base, folder, env),
    shell: [ssh, "-q", `-p${port}`, ...options].join(" "),
    copyFlags: [`-P${port}`, ...options],
    [Symbol.asyncDispose]: async () => {
      for (const server of [daemon, ...listeners]) {
        server.kill();
        await server.exited;
      }
      rmSync(folder, { recursive: true });
    },
  };
}

async function openMaster(
  base: (flags: readonly string[], host: string) => string[],
  folder: string,
  env: Record<string, string>,
): Promise<SharedConnection> {
  const flags = ["-o", `ControlPath=${folder}/control`];
  const master = Bun.spawn(base([...flags, "-M", "-N"], "127.0.0.1"), { env });
  await untilAnswered(base(flags, "127.0.0.1"), env);
  return {
    pid: master.pid,
    flags,
    [Symbol.asyncDispose]: async () => {
      master.kill();
      await master.exited;
    },
  };
}

async function untilAnswered(ssh: readonly string[], env: Record<string, string>): Promise<void> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const done = Bun.spawn([...ssh, "true"], { env, stdin: "ignore", stderr: "ignore" });
    if ((await done.exited) === 0) return;
    await Bun.sleep(100);
  }
  throw new Error("sshd does not answer");
}

function daemonSettings(folder: string): string {
  return Object.entries({
    Port: port,
    ListenAddress: "0.0.0.0",
    HostKey: join(folder, "host"),
    AuthorizedKeysFile: join(folder, "user.pub"),
    StrictModes: "no",
    UsePAM: "no",
    PidFile: "none",
    PermitRootLogin: "yes",
    MaxStartups: "300",
    MaxSessions: "300",
    Subsystem: "sftp internal-sftp",
    // The start-up files of this computer's shell are none of ssh's time.
    SetEnv: "HOME=/nonexistent",
  })
    .map(([name, value]) => `${name} ${value}\n`)
    .join("");
}

function clientFlags(folder: string): string[] {
  return [
    "-Fnone",
    `-i${join(folder, "user")}`,
    "-oStrictHostKeyChecking=no",
    "-oUserKnownHostsFile=/dev/null",
    "-oBatchMode=yes",
    "-oCompression=no",
  ];
}
