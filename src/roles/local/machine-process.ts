import { closeSync, openSync } from "node:fs";
import { localLimits } from "./limits.ts";
import { freeze } from "./process-freeze.ts";
import { family, identify, isAlive, sendSignal, type ProcessIdentity } from "./process-table.ts";

/** How a machine's process ended. Of one that was started by an earlier fly-local nothing is known. */
export interface MachineExit {
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
}

export interface MachineProcess {
  readonly identity: ProcessIdentity;
  /** Resolves when it counts as started; absent where it does so at once. */
  readonly ready?: Promise<void>;
  readonly exited: Promise<MachineExit>;
  signal(name: NodeJS.Signals): void;
  /** Stops all of it where it is, and returns what there is to `thaw`. */
  freeze(): readonly ProcessIdentity[];
  /** Pulls the plug: the process and everything that grew from it. Resolves when the process is gone. */
  kill(): Promise<void>;
}

/**
 * In its own session and with its output in a file, so that it neither hears our terminal nor needs
 * us: it outlives a fly-local that was killed.
 */
export function spawnMachineProcess(options: {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly dir: string;
  readonly logPath: string;
}): MachineProcess {
  const log = openSync(options.logPath, "a", 0o600);
  try {
    const child = Bun.spawn({
      cmd: [...options.command],
      env: { ...options.env },
      cwd: options.dir,
      stdio: ["ignore", log, log],
      detached: true,
    });
    const identity = identify(child.pid);
    if (identity === undefined) throw new Error(`Process ${child.pid} vanished at its start`);
    const exited = child.exited.then(() => ({
      exitCode: child.exitCode ?? undefined,
      signal: signalName(child.signalCode),
    }));
    return machineProcess(identity, exited, []);
  } finally {
    closeSync(log);
  }
}

/**
 * The process of a machine that an earlier fly-local started, and what it froze of it; undefined when
 * it has ended since.
 */
export function adoptMachineProcess(
  identity: ProcessIdentity,
  frozen: readonly ProcessIdentity[],
): MachineProcess | undefined {
  if (!isAlive(identity)) return undefined;
  const exited = new Promise<MachineExit>((resolve) => {
    const poll = setInterval(() => {
      if (isAlive(identity)) return;
      clearInterval(poll);
      resolve({ exitCode: undefined, signal: undefined });
    }, localLimits.adoptedPollMs);
    poll.unref();
  });
  return machineProcess(identity, exited, frozen);
}

function signalName(code: string | number | null): string | undefined {
  return code === null ? undefined : String(code);
}

function machineProcess(
  identity: ProcessIdentity,
  exited: Promise<MachineExit>,
  known: readonly ProcessIdentity[],
): MachineProcess {
  // Remembered so that what is left over can be removed after the main process has gone by itself.
  let members = known;
  const sweep = (): readonly ProcessIdentity[] => {
    const left = [...members, ...family(identity)];
    for (const member of left) sendSignal(member, "SIGKILL");
    return left;
  };
  return {
    identity,
    exited: exited.then(async (exit) => {
      await vanished(sweep());
      return exit;
    }),
    signal(name) {
      members = family(identity);
      sendSignal(identity, name);
    },
    freeze() {
      members = freeze(identity);
      return members;
    },
    async kill() {
      members = family(identity);
      sweep();
      await exited;
    },
  };
}

/** Killed is not gone yet. One that waits for its disk may take long, and is not waited for. */
async function vanished(killed: readonly ProcessIdentity[]): Promise<void> {
  for (let round = 0; round < localLimits.sweepRoundsMax; round += 1) {
    if (!killed.some((member) => isAlive(member))) return;
    await Bun.sleep(localLimits.sweepPauseMs);
  }
}
