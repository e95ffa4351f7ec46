import { closeSync } from "node:fs";
import { signalProcess } from "../../system/process.ts";
import {
  DescriptorReader,
  DescriptorWriter,
  enlargePipe,
  openPipe,
} from "../../system/process-pipe.ts";
import { PreparedSpawn } from "../../system/process-spawn.ts";
import type { ChildReaper, ProcessEnd } from "../../system/reaper.ts";
import { ownExecutable, selfCommand } from "../../system/self.ts";
import { findAccount } from "./account.ts";
import type { GuestPlan } from "./guest-entry.ts";
import { makeExpendable } from "./keeper-protection.ts";
import { initLimits } from "./limits.ts";
import type { WorkloadProcess } from "./workload-process.ts";

/** Which of our programs is to work among the guest's files (`init PROGRAM`), and as whom. */
export interface GuestProgram {
  readonly program: string;
  /** By name or number, as the image's /etc/passwd has it. */
  readonly user: string;
}

export interface GuestProcess {
  readonly stdin: DescriptorWriter;
  readonly stdout: DescriptorReader;
  readonly ended: Promise<ProcessEnd>;
  kill(): void;
}

/**
 * Starts our own program outside and lets it move into the guest (`enterGuest`): it needs libraries
 * that an image may not have, so it cannot be executed inside. It stays out of the guest's sight,
 * whose processes can neither signal nor inspect it. Throws `RemoteError` when there is no such user.
 */
export function startGuestProcess(
  workload: WorkloadProcess,
  { program, user }: GuestProgram,
  reaper: ChildReaper,
): GuestProcess {
  const account = workload.namespaces.inside(() => findAccount(user));
  const plan: GuestPlan = { account };
  const { mountFd, rootFd } = workload.namespaces.door;
  const [stdin, stdout] = [openPipe(), openPipe()];
  enlargePipe(stdin);
  enlargePipe(stdout);
  let pid: number;
  try {
    pid = spawn(selfCommand("init", program, JSON.stringify(plan)), [
      stdin.readFd,
      stdout.writeFd,
      2,
      mountFd,
      rootFd,
    ]);
  } catch (error) {
    for (const fd of [stdin.writeFd, stdout.readFd]) closeSync(fd);
    throw error;
  } finally {
    for (const fd of [stdin.readFd, stdout.writeFd]) closeSync(fd);
  }
  makeExpendable(pid);
  let over = false;
  const ended = reaper.ended(pid).finally(() => {
    over = true;
  });
  return {
    stdin: new DescriptorWriter(stdin.writeFd),
    stdout: new DescriptorReader(stdout.readFd),
    ended,
    kill: () => {
      if (!over) signalProcess(pid, 9);
    },
  };
}

function spawn(argv: readonly string[], stdio: readonly number[]): number {
  const env = { BUN_JSC_forceRAMSize: String(initLimits.guestProcessHeapBytes) };
  const prepared = new PreparedSpawn({ path: ownExecutable, argv, env, stdio });
  try {
    return prepared.start();
  } finally {
    prepared.release();
  }
}
