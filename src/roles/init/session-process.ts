import { closeSync, fchownSync, readFileSync } from "node:fs";
import { RemoteError } from "../../protocol/errors.ts";
import type { SessionOpenRequest } from "../../protocol/session-message.ts";
import { SystemError } from "../../system/libc.ts";
import { signalProcess } from "../../system/process.ts";
import { enterFolder } from "../../system/process-namespace.ts";
import {
  DescriptorReader,
  DescriptorWriter,
  openPipe,
  TerminalWriter,
} from "../../system/process-pipe.ts";
import { errno, PreparedSpawn, type SpawnPlan } from "../../system/process-spawn.ts";
import {
  foregroundGroup,
  openPty,
  setTerminalSize,
  showOnTerminal,
  type TerminalSize,
  waitingBytes,
} from "../../system/pty.ts";
import { setTerminalModes } from "../../system/pty-modes.ts";
import type { ChildReaper, ProcessEnd } from "../../system/reaper.ts";
import { type Account, findAccount } from "./account.ts";
import { makeExpendable } from "./keeper-protection.ts";
import { resolveCommand, type SessionCommand } from "./session-command.ts";
import { adaptSurroundings } from "./session-surroundings.ts";
import type { WorkloadProcess } from "./workload-process.ts";

/** A program of the workload with its terminal or pipes. Leader of a session, so its id is that of its group. */
export interface SessionProcess extends Started {
  readonly stdin: DescriptorWriter | TerminalWriter;
  readonly stdout: DescriptorReader;
  /** A terminal has one output. */
  readonly stderr: DescriptorReader | undefined;
  /** Bytes written but not read yet. */
  readonly waiting: () => number;
  readonly ended: Promise<ProcessEnd>;
  readonly resize: (size: TerminalSize) => void;
  /** Whether it is itself what its terminal has in the foreground. */
  readonly leadsForeground: () => boolean;
  /** On its terminal, beside what it writes; on pipes there is nobody to read it. */
  readonly show: (words: string) => void;
  /** To the group in the foreground of the terminal, else to the program's own. */
  readonly signal: (signal: number) => void;
  /** To the program's own group. */
  readonly signalGroup: (signal: number) => void;
}

/** Throws `RemoteError` when it cannot be started; then nothing of it is left. */
export function startSession(
  workload: WorkloadProcess,
  request: SessionOpenRequest,
  reaper: ChildReaper,
): SessionProcess {
  return request.tty
    ? startOnTerminal(workload, request, reaper)
    : startOnPipes(workload, request, reaper);
}

function startOnTerminal(
  workload: WorkloadProcess,
  request: SessionOpenRequest,
  reaper: ChildReaper,
): SessionProcess {
  const pty = openPty(workload.devptsFd);
  const { masterFd } = pty;
  let open = 2;
  const close = (): void => {
    open -= 1;
    if (open === 0) closeSync(masterFd);
  };
  let started: Started;
  try {
    if (request.modes !== undefined) setTerminalModes(pty.slaveFd, request.modes);
    setTerminalSize(masterFd, { rows: request.rows ?? 24, cols: request.cols ?? 80 });
    started = start(workload, request, { terminal: pty.path }, (account) =>
      fchownSync(pty.slaveFd, account.uid, terminalGroup),
    );
  } catch (error) {
    closeSync(pty.slaveFd);
    closeSync(masterFd);
    throw error;
  }
  const signalGroup = (signal: number): void => signalProcess(-started.pid, signal);
  return {
    ...started,
    stdout: new DescriptorReader(masterFd, close),
    stdin: new TerminalWriter(masterFd, close),
    stderr: undefined,
    waiting: () => waitingBytes(masterFd),
    // A terminal that nobody has open reads as ended, though its program may open it again by /dev/tty.
    ended: reaper.ended(started.pid).finally(() => closeSync(pty.slaveFd)),
    resize: (size) => setTerminalSize(masterFd, size),
    leadsForeground: () => foregroundGroup(masterFd) === started.pid,
    show: (words) => showOnTerminal(masterFd, words),
    signal: (signal) => {
      const group = foregroundGroup(masterFd);
      if (group > 0) signalProcess(-group, signal);
      else signalGroup(signal);
    },
    signalGroup,
  };
}

function startOnPipes(
  workload: WorkloadProcess,
  request: SessionOpenRequest,
  reaper: ChildReaper,
): SessionProcess {
  const [stdin, stdout, stderr] = [openPipe(), openPipe(), openPipe()];
  const theirs = [stdin.readFd, stdout.writeFd, stderr.writeFd];
  const ours = [stdin.writeFd, stdout.readFd, stderr.readFd];
  let started: Started;
  try {
    started = start(workload, request, theirs, (account) => {
      // So that the program may open /dev/stderr by name.
      for (const fd of theirs) fchownSync(fd, account.uid, account.gid);
    });
  } catch (error) {
    for (const fd of ours) closeSync(fd);
    throw error;
  } finally {
    for (const fd of theirs) closeSync(fd);
  }
  const signalGroup = (signal: number): void => signalProcess(-started.pid, signal);
  return {
    ...started,
    stdin: new DescriptorWriter(stdin.writeFd),
    stdout: new DescriptorReader(stdout.readFd),
    stderr: new DescriptorReader(stderr.readFd),
    waiting: () => waitingBytes(stdout.readFd) + waitingBytes(stderr.readFd),
    ended: reaper.ended(started.pid),
    resize: () => undefined,
    leadsForeground: () => false,
    show: () => undefined,
    signal: signalGroup,
    signalGroup,
  };
}

interface Started {
  readonly pid: number;
  /** Its number inside the workload; undefined if it was gone before we could look. */
  readonly insidePid: number | undefined;
  readonly argv: readonly string[];
  readonly user: string;
  readonly cwd: string;
  /** TERM, where it is not the one that was asked for. */
  readonly term: string | undefined;
}

function start(
  workload: WorkloadProcess,
  request: SessionOpenRequest,
  stdio: SpawnPlan["stdio"],
  giveTo: (account: Account) => void,
): Started {
  const started = workload.namespaces.inside(() => {
    const account = findAccount(request.user ?? "root");
    const { env, term } = adaptSurroundings(request, account);
    const command = resolveCommand(request, account, env);
    giveTo(account);
    enterFolder(command.cwd);
    const pid = startCommand(workload, command, account, stdio);
    return { pid, argv: command.argv, user: account.name, cwd: command.cwd, term };
  });
  makeExpendable(started.pid);
  return { ...started, insidePid: pidInside(started.pid) };
}

/** The last of the numbers that a process has in its namespaces, from the outermost to its own. */
function pidInside(pid: number): number | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return Number(/^NSpid:.*?(\d+)$/m.exec(status)?.[1]) || undefined;
  } catch {
    return undefined;
  }
}

function startCommand(
  workload: WorkloadProcess,
  command: SessionCommand,
  account: Account,
  stdio: SpawnPlan["stdio"],
): number {
  const attempt = (path: string, argv: readonly string[]): number => {
    const spawn = new PreparedSpawn({ path, argv, env: command.env, stdio });
    const user = account.uid === 0 && account.gid === 0 ? undefined : account;
    try {
      return workload.namespaces.startAmongTheirs(spawn, user);
    } finally {
      spawn.release();
    }
  };
  try {
    return attempt(command.path, command.argv);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    if (error.errno !== errno.ENOEXEC) throw refusal(error, command.path);
  }
  // A script without a first line that names its interpreter: what every shell does with it.
  try {
    return attempt("/bin/sh", ["/bin/sh", command.path, ...command.argv.slice(1)]);
  } catch (error) {
    if (error instanceof SystemError) throw refusal(error, command.path);
    throw error;
  }
}

function refusal(error: SystemError, path: string): RemoteError {
  if (error.errno === errno.EACCES || error.errno === errno.EPERM)
    return new RemoteError("command-not-executable", `${path}: permission denied`);
  if (error.errno === errno.ENOENT)
    return new RemoteError("command-not-found", `${path}: its interpreter is not there`);
  if (error.errno === errno.ENOEXEC)
    return new RemoteError("command-not-executable", `${path}: not a program this machine can run`);
  return new RemoteError("command-failed-to-start", `${path}: ${error.code}`);
}

/** "tty" on every distribution; devpts is mounted with it. */
const terminalGroup = 5;
